// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
)

func newTestQueue(t *testing.T, maxInFlight int) (*fairQueue, *clocktesting.FakeClock) {
	t.Helper()
	fake := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	q := newFairQueue(queueOptions{clock: fake, maxInFlight: maxInFlight, baseDelay: time.Second, maxDelay: 10 * time.Second})
	t.Cleanup(q.Close)
	return q, fake
}

func req(tenant, name string) request {
	return request{Tenant: tenant, NamespacedName: types.NamespacedName{Name: name}}
}

// serveAll takes and finishes everything that waits, one by one.
func serveAll(q *fairQueue) []string {
	var order []string
	for q.Len() > 0 {
		r, _, ok := q.Get()
		if !ok {
			break
		}
		order = append(order, r.Tenant+"/"+r.Name)
		q.Done(r)
	}
	return order
}

func TestQueueServesTenantsInTurn(t *testing.T) {
	q, _ := newTestQueue(t, 4)
	for i := range 4 {
		q.Add(req("greedy", fmt.Sprint(i)), begin)
	}
	q.Add(req("modest", "0"), begin)
	want := []string{"greedy/0", "modest/0", "greedy/1", "greedy/2", "greedy/3"}
	if diff := cmp.Diff(want, serveAll(q)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestQueueFinishesBeforeItBegins(t *testing.T) {
	q, _ := newTestQueue(t, 4)
	q.Add(req("a", "new"), begin)
	q.Add(req("a", "raised"), begin)
	q.Add(req("a", "old"), finish)
	q.Add(req("a", "raised"), finish)
	want := []string{"a/old", "a/raised", "a/new"}
	if diff := cmp.Diff(want, serveAll(q)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestQueueHoldsAnItemOnce(t *testing.T) {
	q, _ := newTestQueue(t, 4)
	q.Add(req("a", "x"), begin)
	q.Add(req("a", "x"), begin)
	r, _, _ := q.Get()
	q.Add(r, begin) // while it is worked on: again, but not at the same time
	q.Add(r, begin)
	if got := len(q.ready); got != 0 {
		t.Fatalf("%d lanes may be served while the only item is worked on", got)
	}
	q.Done(r)
	if diff := cmp.Diff([]string{"a/x"}, serveAll(q)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestQueueBoundsTheWorkersOfATenant(t *testing.T) {
	q, _ := newTestQueue(t, 2)
	for i := range 3 {
		q.Add(req("slow", fmt.Sprint(i)), finish)
	}
	q.Add(req("other", "0"), begin)
	var taken []string
	for range 3 {
		r, _, _ := q.Get()
		taken = append(taken, r.Tenant)
	}
	if diff := cmp.Diff([]string{"slow", "other", "slow"}, taken); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	if len(q.ready) != 0 {
		t.Error("a third worker may serve the slow tenant")
	}
	q.Done(req("slow", "0"))
	if len(q.ready) != 1 {
		t.Error("a worker that came back may not serve the slow tenant")
	}
}

func TestQueueBackOffIsPerItem(t *testing.T) {
	q, fake := newTestQueue(t, 4)
	bad := req("a", "bad")
	for i, seconds := range []int{1, 2, 4, 8, 10, 10} {
		q.Retry(bad)
		fake.Step(time.Duration(seconds)*time.Second - time.Millisecond)
		q.Add(req("a", "good"), begin)
		if diff := cmp.Diff([]string{"a/good"}, serveAll(q)); diff != "" {
			t.Fatalf("retry %d (-want +got):\n%s", i, diff)
		}
		fake.Step(time.Millisecond)
		waitLen(t, q, 1)
		serveAll(q)
	}
	q.Forget(bad)
	if got := q.Failures(bad); got != 0 {
		t.Errorf("%d failures after Forget", got)
	}
}

func TestQueueAddAfterKeepsTheEarliest(t *testing.T) {
	q, fake := newTestQueue(t, 4)
	q.AddAfter(req("a", "x"), time.Hour)
	q.AddAfter(req("a", "x"), time.Minute)
	q.AddAfter(req("a", "x"), 2*time.Minute)
	fake.Step(time.Minute)
	waitLen(t, q, 1)
	serveAll(q)
	fake.Step(2 * time.Hour)
	if q.Len() != 0 {
		t.Error("the later ones were not replaced")
	}
}

func TestQueueKeepsThePriorityOverADelay(t *testing.T) {
	q, fake := newTestQueue(t, 4)
	q.Add(req("a", "begun"), finish)
	r, _, _ := q.Get()
	q.Retry(r)
	q.Done(r)
	q.Add(req("a", "new"), begin)
	fake.Step(time.Second)
	waitLen(t, q, 2)
	if diff := cmp.Diff([]string{"a/begun", "a/new"}, serveAll(q)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestQueueDropForgetsAnIdleTenant(t *testing.T) {
	q, _ := newTestQueue(t, 4)
	q.Add(req("gone", "x"), begin)
	q.Drop("gone")
	if len(q.items) != 0 || len(q.lanes) != 0 {
		t.Errorf("left: %d items, %d lanes", len(q.items), len(q.lanes))
	}
}

func TestQueueDropForgetsATenant(t *testing.T) {
	q, fake := newTestQueue(t, 1)
	q.Add(req("gone", "running"), begin)
	running, _, _ := q.Get()
	q.Add(req("gone", "queued"), begin)
	q.Retry(req("gone", "delayed"))
	q.Add(req("stays", "x"), begin)
	q.Drop("gone")
	q.Done(running)
	fake.Step(time.Hour)
	if diff := cmp.Diff([]string{"stays/x"}, serveAll(q)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if len(q.items) != 0 || len(q.lanes) != 1 || q.lanes["stays"] == nil {
		t.Errorf("left: %d items, %d lanes", len(q.items), len(q.lanes))
	}
}

func TestQueueCloseWakesWorkers(t *testing.T) {
	q, _ := newTestQueue(t, 1)
	done := make(chan bool)
	go func() {
		_, _, ok := q.Get()
		done <- ok
	}()
	q.Close()
	if <-done {
		t.Error("Get returned work from a closed queue")
	}
}

// waitLen waits for a timer of the fake clock, which runs in a goroutine.
func waitLen(t *testing.T, q *fairQueue, want int) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for q.Len() != want {
		select {
		case <-deadline.C:
			t.Fatalf("%d requests wait, want %d", q.Len(), want)
		case <-ticker.C:
		}
	}
}

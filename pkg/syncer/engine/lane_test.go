// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clocktesting "k8s.io/utils/clock/testing"
)

// TestSharesFollowWeights: while all want more, each tenant gets the share of
// its weight, within 5 %, and none waits longer than a round.
func TestSharesFollowWeights(t *testing.T) {
	cases := map[string][]int{
		"equal":              {1, 1, 1, 1},
		"one is heavy":       {4, 1},
		"the whole range":    {100, 50, 10, 1},
		"many light ones":    {20, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
		"no divisors at all": {7, 11, 13},
		"unset counts as 1":  {0, 2},
	}
	for name, weights := range cases {
		t.Run(name, func(t *testing.T) {
			q, _ := newTestQueue(t, 4)
			sum := 0
			for i, weight := range weights {
				tenant := fmt.Sprint("t", i)
				q.SetWeight(tenant, weight)
				sum += max(weight, 1)
				q.Add(req(tenant, "0"), begin)
				q.Add(req(tenant, "1"), begin)
			}
			rounds := 50
			served, last := map[string]int{}, map[string]int{}
			for n := range rounds * sum {
				r, _, _ := q.Get()
				served[r.Tenant]++
				if since := n - last[r.Tenant]; since > 2*sum {
					t.Fatalf("%s was not served %d times in a row", r.Tenant, since)
				}
				last[r.Tenant] = n
				q.Done(r)
				q.Add(r, begin)
			}
			for i, weight := range weights {
				tenant, want := fmt.Sprint("t", i), float64(rounds*max(weight, 1))
				if got := float64(served[tenant]); got < .95*want || got > 1.05*want {
					t.Errorf("%s of weight %d was served %v times, want %v", tenant, weight, got, want)
				}
			}
		})
	}
}

// TestIdlenessSavesNothingUp: a tenant that comes and goes as it likes gets no
// more than its share, and one that was away for long does not push the others out.
func TestIdlenessSavesNothingUp(t *testing.T) {
	q, _ := newTestQueue(t, 4)
	for i := range 3 {
		q.Add(req(fmt.Sprint("busy", i), "0"), begin)
	}
	random := rand.New(rand.NewPCG(1, 2))
	serve := func(times int, flicker bool) map[string]int {
		served := map[string]int{}
		for range times {
			if flicker && random.IntN(2) == 0 {
				q.Add(req("flickers", "0"), begin)
			}
			r, _, _ := q.Get()
			served[r.Tenant]++
			q.Done(r)
			if r.Tenant != "flickers" {
				q.Add(r, begin)
			}
		}
		return served
	}
	serve(3000, false)
	if got := serve(400, true)["flickers"]; got > 105 || got < 80 {
		t.Errorf("who flickers was served %d times of 400, want a quarter at most", got)
	}
}

// TestAPausedLaneCostsNothing: its requests stay and others are served; it goes
// on where it was.
func TestAPausedLaneCostsNothing(t *testing.T) {
	q, fake := newTestQueue(t, 4)
	q.Add(req("down", "0"), begin)
	q.Add(req("up", "0"), begin)
	q.Pause("down", 10*time.Second)
	q.Pause("down", time.Second) // does not shorten it
	q.Add(req("down", "1"), finish)
	r, _, _ := q.Get()
	if r.Tenant != "up" || len(q.ready) != 0 || q.Len() != 2 {
		t.Fatalf("served %v, then %d lanes are ready and %d requests wait", r, len(q.ready), q.Len())
	}
	q.Done(r)
	fake.Step(10 * time.Second)
	if diff := cmp.Diff([]string{"down/1", "down/0"}, serveAll(q)); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// TestADeferredRequestIsNotServed: it waits on, since it was added.
func TestADeferredRequestIsNotServed(t *testing.T) {
	q, fake := newTestQueue(t, 4)
	q.Add(req("a", "0"), finish)
	fake.Step(time.Minute)
	r, first, _ := q.Get()
	q.Defer(r)
	q.Pause("a", time.Second)
	q.Done(r)
	fake.Step(time.Second)
	if _, again, _ := q.Get(); !again.Equal(first) || !q.items[r].running {
		t.Errorf("added %s, then %s", first, again)
	}
}

// TestPoisonedObjectsAreBounded: thousands that always fail are retried a few
// times in a second, all together, and their neighbours do not notice.
func TestPoisonedObjectsAreBounded(t *testing.T) {
	const poisoned = 5000
	q, fake := newTestQueue(t, 4)
	for i := range poisoned {
		q.Add(req("poison", fmt.Sprint(i)), begin)
	}
	attempts := 0
	fail := func(most int) {
		for range most {
			r, _, _ := q.Get()
			if r.Tenant == "poison" {
				attempts++
				q.Retry(r)
			} else {
				q.Forget(r)
			}
			q.Done(r)
		}
	}
	fail(poisoned) // the first attempt is everybody's right
	q.Add(req("modest", "x"), begin)
	fail(1)
	attempts = 0
	const seconds = 60
	for range seconds {
		fake.Step(time.Second)
		settleTimers(t, q)
		q.Add(req("modest", "x"), begin)
		before := attempts
		fail(2)
		if attempts-before > 1 {
			t.Fatal("the neighbour waited for more than one poisoned object")
		}
		fail(q.Len())
	}
	if limit := retryBurst + seconds*int(time.Second/retryInterval) + 1; attempts > limit || attempts < seconds {
		t.Errorf("%d retries in %d s, want at most %d", attempts, seconds, limit)
	}
	// The cause goes: what succeeds lets others follow, faster and faster.
	recovered := 0
	for second := 0; recovered < poisoned; second++ {
		if second > 30 {
			t.Fatalf("%d of %d recovered in 30 s", recovered, poisoned)
		}
		fake.Step(time.Second)
		settleTimers(t, q)
		for q.Len() > 0 {
			r, _, _ := q.Get()
			if r.Tenant == "poison" {
				recovered++
			}
			q.Forget(r)
			q.Done(r)
		}
	}
}

// settleTimers waits until every timer of the fake clock that is due has had its effect.
func settleTimers(t *testing.T, q *fairQueue) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		q.mu.Lock()
		pending, now := 0, q.options.clock.Now()
		for _, it := range q.items {
			if it.timer != nil && !it.due.After(now) {
				pending++
			}
		}
		for _, l := range q.lanes {
			if len(l.late) > 0 && (l.tokens > 0 || l.refill == nil || !l.refilled.Add(retryInterval).After(now)) {
				pending++
			}
		}
		q.mu.Unlock()
		if pending == 0 {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("%d timers did nothing", pending)
		case <-ticker.C:
		}
	}
}

// TestPace: of one tenant a burst is written at once and then so many in a second;
// the neighbour has a pace of its own, nothing is lost, and what writes nothing
// does not wait.
func TestPace(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	q := newFairQueue(queueOptions{clock: clock, maxInFlight: 8, pace: 10, paceBurst: 5, busy: func(tenant string) bool { return tenant != "idle" }, baseDelay: time.Second, maxDelay: time.Minute})
	t.Cleanup(q.Close)
	for i := range 20 {
		q.Add(req("a", fmt.Sprintf("event-%d", i)), begin)
	}
	serve := func(writes bool) int {
		n := 0
		for ; q.readyLen() > 0; n++ {
			r, _, _ := q.Get()
			if writes {
				q.Wrote(r)
			}
			q.Done(r)
		}
		return n
	}
	// The one that uses up the burst is served: the next has to wait.
	if n := serve(true); n != 6 {
		t.Errorf("%d at once, want 6", n)
	}
	q.Add(req("b", "event"), begin)
	if n := serve(true); n != 1 {
		t.Errorf("%d of the neighbour, want 1", n)
	}
	total := 6
	for range 30 { // three seconds
		clock.Step(100 * time.Millisecond)
		settlePause(t, q)
		n := serve(true)
		total += n
		if n > 1 {
			t.Errorf("%d within a tenth of a second, want at most 1", n)
		}
	}
	if total != 20 {
		t.Errorf("%d served, want all 20", total)
	}
	for i := range 20 {
		q.Add(req("c", fmt.Sprintf("event-%d", i)), begin)
	}
	if n := serve(false); n != 20 {
		t.Errorf("%d that write nothing at once, want all 20", n)
	}
	for i := range 20 {
		q.Add(req("idle", fmt.Sprintf("event-%d", i)), begin)
	}
	if n := serve(true); n != 20 {
		t.Errorf("%d of a tenant with nothing else to do at once, want all 20", n)
	}
}

// TestBusy: a tenant is busy while anything of it waits, is worked on, or has begun
// and is not accepted.
func TestBusy(t *testing.T) {
	q := newFairQueue(queueOptions{clock: clocktesting.NewFakeClock(time.Unix(0, 0)), maxInFlight: 8, bounded: true, baseDelay: time.Second, maxDelay: time.Minute})
	t.Cleanup(q.Close)
	var got []bool
	look := func() { got = append(got, q.Busy("a")) }
	look()
	q.Add(req("a", "one"), begin)
	look() // it waits
	r, _, _ := q.Get()
	look() // it is worked on
	q.Started(r)
	q.Done(r)
	look() // it has begun
	q.Accepted(r)
	look()
	if diff := cmp.Diff([]bool{false, true, true, true, false}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

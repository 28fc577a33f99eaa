// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// TestWindowBoundsWhatIsUnaccepted: two of a tenant's may wait; the
// third begins when one is accepted. What has begun is finished nevertheless, and the
// neighbour begins.
func TestWindowBoundsWhatIsUnaccepted(t *testing.T) {
	for name, tc := range map[string]struct {
		// starts says that the passes of one and two start something.
		starts  bool
		happens func(*fairQueue, *clocktesting.FakeClock)
		served  string // afterwards, by name
	}{
		"both wait":                    {true, func(*fairQueue, *clocktesting.FakeClock) {}, "b/one"},
		"one is accepted":              {true, func(q *fairQueue, _ *clocktesting.FakeClock) { q.Accepted(req("a", "one")) }, "a/three b/one"},
		"an unknown one is accepted":   {true, func(q *fairQueue, _ *clocktesting.FakeClock) { q.Accepted(req("a", "nine")) }, "b/one"},
		"something is to be ended":     {true, func(q *fairQueue, _ *clocktesting.FakeClock) { q.Add(req("a", "one"), finish) }, "a/one b/one"},
		"nothing was started":          {false, func(*fairQueue, *clocktesting.FakeClock) {}, "a/three b/one"},
		"nobody accepts them":          {true, func(_ *fairQueue, c *clocktesting.FakeClock) { c.Step(unacceptedTTL) }, "a/three b/one"},
		"nobody has accepted them yet": {true, func(_ *fairQueue, c *clocktesting.FakeClock) { c.Step(unacceptedTTL - time.Millisecond) }, "b/one"},
		"the tenant is dropped":        {true, func(q *fairQueue, _ *clocktesting.FakeClock) { q.Drop("a") }, "b/one"},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
			q := newFairQueue(queueOptions{clock: clock, maxInFlight: 8, bounded: true, baseDelay: time.Second, maxDelay: time.Minute})
			t.Cleanup(q.Close)
			q.laneOf("a").window.limit = 2
			for _, name := range []string{"one", "two", "three"} {
				q.Add(req("a", name), begin)
			}
			for range 2 {
				r, _, _ := q.Get()
				if tc.starts {
					q.Started(r)
				}
				q.Done(r)
			}
			tc.happens(q, clock)
			settleWindows(t, q)
			q.Add(req("b", "one"), begin)
			var served []string
			for q.readyLen() > 0 {
				r, _, _ := q.Get()
				served = append(served, r.Tenant+"/"+r.Name)
				q.Started(r)
				q.Done(r)
			}
			slices.Sort(served) // whose turn it is, other tests say
			if got := strings.Join(served, " "); got != tc.served {
				t.Errorf("served %q, want %q", got, tc.served)
			}
		})
	}
}

// TestAPlaceThatComesEarly: the watch may tell of the place before the answer to
// the creation does.
func TestAPlaceThatComesEarly(t *testing.T) {
	q := newFairQueue(queueOptions{clock: clocktesting.NewFakeClock(time.Unix(0, 0)), maxInFlight: 8, bounded: true, baseDelay: time.Second, maxDelay: time.Minute})
	t.Cleanup(q.Close)
	q.laneOf("a").window.limit = 1
	q.Add(req("a", "one"), begin)
	q.Add(req("a", "two"), begin)
	r, _, _ := q.Get()
	if q.readyLen() != 0 {
		t.Error("another begins beside it")
	}
	q.Accepted(r)
	q.Started(r)
	q.Done(r)
	if q.readyLen() != 1 {
		t.Error("nothing begins after it")
	}
}

// settleWindows waits until windows whose time is over are open.
func settleWindows(t *testing.T, q *fairQueue) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		q.mu.Lock()
		pending := 0
		for _, l := range q.lanes {
			for _, b := range l.window.begun {
				if !b.at.Add(unacceptedTTL).After(q.options.clock.Now()) {
					pending++
				}
			}
		}
		q.mu.Unlock()
		if pending == 0 {
			return
		}
		select {
		case <-deadline:
			t.Fatal("a window stays shut")
		case <-time.After(time.Millisecond):
		}
	}
}

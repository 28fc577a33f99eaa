// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// TestWhenAnOutcomeIsLookedAtAgain: nothing that goes on failing keeps a worker busy.
func TestWhenAnOutcomeIsLookedAtAgain(t *testing.T) {
	reject, wait, failure := kind.Reject("spec.hostNetwork", "no"), kind.Wait("node n"), errors.New("broken")
	cases := map[string]struct {
		err          error
		times        int  // how often it came out like this
		superRefuses bool // what is in the way may go
		ahead        bool // the cache was late
		again        time.Duration
		want         time.Duration // zero: not until the object changes
	}{
		"done":                           {times: 1},
		"done, with a token to renew":    {times: 1, again: time.Hour, want: time.Hour},
		"done, ahead of the cache":       {times: 1, ahead: true, want: overlayTTL + time.Second},
		"ahead of the cache, and sooner": {times: 1, ahead: true, again: time.Second, want: time.Second},
		"rejected":                       {err: reject, times: 3},
		"rejected by super":              {err: reject, times: 1, superRefuses: true, want: 20 * time.Millisecond},
		"rejected by super for long":     {err: reject, times: 20, superRefuses: true, want: 20 * time.Second},
		"waiting":                        {err: wait, times: 1, want: 20 * time.Millisecond},
		"waiting for a while":            {err: wait, times: patience, want: 2 * time.Second},
		"waiting for long":               {err: wait, times: 2 * patience, want: longWait},
		"failed":                         {err: failure, times: 1, want: 20 * time.Millisecond},
		"failed for long":                {err: failure, times: 30, want: 20 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
			e, err := New(Options{Super: newSide(), Kinds: []*kind.Translator{process().Translator()}, Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			c, r := e.controllers[0], req("tenant-1", "web")
			tn := newTenant(t.Context(), fleet.NewTenant(newSide(), "tenant-1", virtualCluster, fleet.Facts{}))
			var due time.Duration
			for range tc.times {
				c.queue.Add(r, begin)
				taken, _, _ := c.queue.Get()
				p := &pass{controller: c, tenantCluster: tn, request: taken, ahead: tc.ahead, refusedBySuper: tc.superRefuses}
				c.settle(t.Context(), p, tc.again, tc.err)
				due = 0
				if it := c.queue.items[r]; it.timer != nil {
					due = it.due.Sub(clock.Now())
				}
				c.queue.Done(r)
			}
			if due != tc.want {
				t.Errorf("looked at again after %s, want %s", due, tc.want)
			}
		})
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strconv"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	testingclock "k8s.io/utils/clock/testing"
)

// TestABurstLeavesNothing: what it took is given back, though maps and slices
// keep their room.
func TestABurstLeavesNothing(t *testing.T) {
	clock := testingclock.NewFakeClock(time.Now())
	q := newFairQueue(queueOptions{clock: clock, maxInFlight: 1, baseDelay: time.Second, maxDelay: time.Second})
	seen := newChanges()
	for i := range 2 * manyItems {
		r := request{Tenant: "a", NamespacedName: types.NamespacedName{Name: strconv.Itoa(i)}}
		q.Add(r, priority(i%2 == 0))
		seen.saw(r, clock.Now())
	}
	items := q.items
	for range 2 * manyItems {
		r, _, _ := q.Get()
		seen.take(r)
		q.Done(r)
	}
	items[request{}] = &item{}
	if len(q.items) != 0 || q.most != 0 || seen.most != 0 {
		t.Errorf("%d items and the maps of a burst of %d and %d are left", len(q.items), q.most, seen.most)
	}
	if l := q.lanes["a"]; l.begin != nil || l.finish != nil {
		t.Error("the lists of a burst are left")
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package leader

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/clock"
)

// Term knows when this candidate last proved that it leads. A replica that was
// frozen believes that it leads still when it wakes up; its Term does not. It is
// safe for concurrent use.
type Term struct {
	resourcelock.Interface
	clock clock.PassiveClock

	mu sync.Mutex
	// renewed is when the last renewal that succeeded was asked for; zero while
	// this candidate does not lead.
	renewed time.Time
}

var _ resourcelock.Interface = &Term{}

// Sure reports whether no other candidate can lead now: the Lease was renewed
// so recently that nobody who keeps to it may have taken it. That is shorter
// than the Lease lasts, by the time that a clock may be slow and that what the
// caller begins now may take to arrive. A nil Term is never sure.
func (t *Term) Sure() bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.renewed.IsZero() && t.clock.Since(t.renewed) < renewDeadline/2
}

// Create implements resourcelock.Interface.
func (t *Term) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return t.hold(record, func() error { return t.Interface.Create(ctx, record) })
}

// Update implements resourcelock.Interface.
func (t *Term) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return t.hold(record, func() error { return t.Interface.Update(ctx, record) })
}

// hold notes when a write of the Lease was asked for, if it succeeds.
func (t *Term) hold(record resourcelock.LeaderElectionRecord, write func() error) error {
	asked := t.clock.Now()
	if record.HolderIdentity != t.Identity() {
		asked = time.Time{} // it is given back
	}
	err := write()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil || asked.IsZero() {
		t.renewed = asked
	}
	return err
}

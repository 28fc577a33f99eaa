// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package leader

import (
	"context"
	"errors"
	"testing"
	"time"

	"k8s.io/client-go/tools/leaderelection/resourcelock"
	clocktesting "k8s.io/utils/clock/testing"
)

// lease is a lock that takes time and may fail.
type lease struct {
	resourcelock.Interface
	clock *clocktesting.FakeClock
	takes time.Duration
	err   error
}

func (l *lease) Identity() string { return "me" }

func (l *lease) Update(context.Context, resourcelock.LeaderElectionRecord) error {
	l.clock.Step(l.takes)
	return l.err
}

func (l *lease) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.Update(ctx, record)
}

// TestTermIsSureWhileTheLeaseIsFresh: a Lease lasts 15 s from the moment at which
// its renewal was asked for, which another candidate may have seen at once.
func TestTermIsSureWhileTheLeaseIsFresh(t *testing.T) {
	mine, given := resourcelock.LeaderElectionRecord{HolderIdentity: "me"}, resourcelock.LeaderElectionRecord{}
	for name, tc := range map[string]struct {
		happens func(context.Context, *Term, *lease) error
		sure    bool
	}{
		"nothing": {func(context.Context, *Term, *lease) error { return nil }, false},
		"it is taken": {func(ctx context.Context, term *Term, _ *lease) error {
			return term.Create(ctx, mine)
		}, true},
		"it is renewed": {func(ctx context.Context, term *Term, _ *lease) error {
			return term.Update(ctx, mine)
		}, true},
		"it is given back": {func(ctx context.Context, term *Term, _ *lease) error {
			return errors.Join(term.Update(ctx, mine), term.Update(ctx, given))
		}, false},
		"it may have been given back": {func(ctx context.Context, term *Term, l *lease) error {
			err := term.Update(ctx, mine)
			l.err = errors.New("no answer")
			_ = term.Update(ctx, given)
			return err
		}, false},
		"a renewal fails after one that did not": {func(ctx context.Context, term *Term, l *lease) error {
			err := term.Update(ctx, mine)
			l.err = errors.New("no answer")
			_ = term.Update(ctx, mine)
			return err
		}, true},
		"it is frozen": {func(ctx context.Context, term *Term, l *lease) error {
			err := term.Update(ctx, mine)
			l.clock.Step(renewDeadline)
			return err
		}, false},
		"the answer takes long": {func(ctx context.Context, term *Term, l *lease) error {
			l.takes = renewDeadline
			return term.Update(ctx, mine)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
			l := &lease{clock: clock}
			term := &Term{Interface: l, clock: clock}
			if err := tc.happens(t.Context(), term, l); err != nil {
				t.Fatal(err)
			}
			if term.Sure() != tc.sure {
				t.Errorf("sure: %v", term.Sure())
			}
		})
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	// joinTimeout bounds how long a replica tries to join: long enough for
	// another one to join first, since a database takes one learner at a time.
	joinTimeout = 2 * time.Minute
	// silentTimeout bounds how long it tries while nobody can be reached at all:
	// as long as others that start at the same time need.
	silentTimeout = 30 * time.Second
	joinPeriod    = 500 * time.Millisecond
)

// Cluster is what joining asks of the other members. Errors wrap ErrSilent or
// ErrNoMajority where they mean that.
type Cluster interface {
	// List returns the members that a majority agrees on.
	List(ctx context.Context) (Membership, error)
	// Remove removes a member.
	Remove(ctx context.Context, id uint64) error
	// AddLearner adds a member without a vote and returns its id.
	AddLearner(ctx context.Context, peerURL string) (uint64, error)
}

// Joiner makes a replica with an empty volume a member of the others' database.
type Joiner struct {
	Peers   Peers
	Cluster Cluster
	Clock   clock.Clock
	// Start starts the database as a new member among those of initialCluster.
	// The volume must be as it was before if the error is to be tried again; one
	// that wraps ErrFinal is not.
	Start func(ctx context.Context, initialCluster string) error
}

// ErrFinal is wrapped by what must not be tried again.
var ErrFinal = errors.New("not tried again")

// step is what the list of members says is next.
type step int

const (
	stepAdd    step = iota // this replica is not in the list
	stepRemove             // it is, as somebody whose volume is lost
	stepStart              // it is, as who it is now
)

// nextStep decides, and names the member to remove. added is the id that this
// process has got, 0: none. Only that one can be started: an id that another
// process has got may have stored something, and a member that forgets what it
// has stored breaks the promise that a majority has it.
func nextStep(membership Membership, self string, added uint64) (step, uint64) {
	listed, found := membership.byPeerURL(self)
	switch {
	case !found:
		return stepAdd, 0
	case listed.ID != added:
		return stepRemove, listed.ID
	default:
		return stepStart, 0
	}
}

// Join returns when the database was started as a member. It tries until that
// makes no sense any more, and its error says why.
func (j *Joiner) Join(ctx context.Context) error {
	var (
		began  = j.Clock.Now()
		logged string
		heard  bool // from any other member
		added  uint64
	)
	for {
		var done bool
		var err error
		added, done, err = j.try(ctx, added)
		if done || errors.Is(err, ErrFinal) {
			return err
		}
		heard = heard || !errors.Is(err, ErrSilent)
		if err != nil && err.Error() != logged {
			logged = err.Error()
			klog.InfoS("Joining the database: trying again", "reason", logged)
		}
		switch waited := j.Clock.Since(began); {
		case !heard && waited >= silentTimeout:
			return fmt.Errorf("this volume holds no database, and %w: start them; if their volumes are lost too, %s", err, remedy)
		case waited >= joinTimeout:
			return fmt.Errorf("joining the database did not succeed in %s: %w", joinTimeout, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-j.Clock.After(joinPeriod):
		}
	}
}

// try goes as far as it can, and returns the id that this process has.
func (j *Joiner) try(ctx context.Context, added uint64) (id uint64, done bool, err error) {
	self := j.Peers.PeerURL(j.Peers.Self)
	// Remove, add, start: whoever needs more is disturbed by somebody, and waits.
	for range 3 {
		membership, err := j.Cluster.List(ctx)
		if err != nil {
			return added, false, err
		}
		// Before anything is changed: a list that cannot be joined is left alone.
		initial, err := membership.initialCluster(j.Peers)
		if err != nil {
			return added, false, err
		}
		switch next, stale := nextStep(membership, self, added); next {
		case stepAdd:
			added, err = j.Cluster.AddLearner(ctx, self)
			if err != nil {
				return 0, false, fmt.Errorf("adding this member: %w", err)
			}
			klog.InfoS("Added this member to the database", "member", fmt.Sprintf("%x", added))
		case stepRemove:
			if err := j.Cluster.Remove(ctx, stale); err != nil {
				return added, false, fmt.Errorf("removing this member's predecessor: %w", err)
			}
			klog.InfoS("Removed this member's predecessor, whose volume is lost", "member", fmt.Sprintf("%x", stale))
		case stepStart:
			if err := j.Start(ctx, initial); err != nil {
				return added, false, err
			}
			return added, true, nil
		}
	}
	return added, false, errors.New("the list of members changes all the time")
}

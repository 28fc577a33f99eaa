// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const leaseDuration = 15 * time.Second

// world is an API server with Leases, a clock, and replicas that are stepped one
// after the other: what they do is decided by the seed alone.
type world struct {
	t        *testing.T
	clock    *clocktesting.FakeClock
	store    client.WithWatch
	random   *rand.Rand
	tenants  []string
	replicas []*replica
	born     int
}

// replica is a Group with a fleet that is a set.
type replica struct {
	*Group
	due    time.Time
	cut    bool // cannot reach the API server
	frozen bool
	// pending are views for which the fleet has not been told yet.
	pending []string
	serving map[string]bool
}

func newWorld(t *testing.T, seed uint64, tenants int) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := coordinationv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, clock: clocktesting.NewFakeClock(time.Unix(1_800_000_000, 0)),
		store:  fake.NewClientBuilder().WithScheme(scheme).Build(),
		random: rand.New(rand.NewPCG(seed, 0)), //nolint:gosec // a schedule, not a secret.
	}
	for i := range tenants {
		w.tenants = append(w.tenants, fmt.Sprintf("tenant-%d", i))
	}
	return w
}

// start adds a replica; an identity of its own if it is given none.
func (w *world) start(identity string) *replica {
	w.born++
	if identity == "" {
		identity = fmt.Sprintf("pod-%d", w.born)
	}
	r := &replica{serving: map[string]bool{}, due: w.clock.Now()}
	unreachable := func() error {
		if r.cut {
			return errors.New("no route to host")
		}
		return nil
	}
	r.Group = New(Options{
		Client: interceptor.NewClient(w.store, interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				return errors.Join(unreachable(), c.List(ctx, list, options...))
			},
			Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
				if err := unreachable(); err != nil {
					return err
				}
				return c.Patch(ctx, object, patch, options...)
			},
		}),
		Namespace: "vc-system", Name: "syncer", Identity: identity, LeaseDuration: leaseDuration, Clock: w.clock,
	})
	r.OnChange(func() { w.rebalance(r) })
	r.change = func(_ context.Context, view string) { r.pending = append(r.pending, view) }
	w.replicas = append(w.replicas, r)
	return r
}

// rebalance is what a fleet does: it drops what is denied and takes what is allowed.
func (w *world) rebalance(r *replica) {
	for _, id := range w.tenants {
		if r.Owns(id) {
			r.serving[id] = true
		} else {
			delete(r.serving, id)
		}
	}
}

// step runs a replica once. The end of a rebalance reaches it now or later.
func (w *world) step(r *replica) {
	pause := r.Group.step(w.t.Context())
	for len(r.pending) > 0 && w.random.IntN(3) > 0 {
		w.rebalance(r)
		r.finished(r.pending[0])
		r.pending, pause = r.pending[1:], 0
	}
	if len(r.pending) > 0 {
		pause = min(pause, time.Second)
	}
	r.due = w.clock.Now().Add(pause)
}

// run lets time pass until an instant, and checks after every step that no
// tenant is served twice by replicas that run.
func (w *world) run(until time.Time) {
	for {
		var next *replica
		for _, r := range w.replicas {
			if !r.frozen && (next == nil || r.due.Before(next.due)) {
				next = r
			}
		}
		if next == nil || next.due.After(until) {
			w.clock.SetTime(until)
			return
		}
		if next.due.After(w.clock.Now()) {
			w.clock.SetTime(next.due)
		}
		w.step(next)
		w.check()
	}
}

func (w *world) check() {
	w.t.Helper()
	for _, id := range w.tenants {
		var owners []string
		for _, r := range w.replicas {
			// A frozen process does nothing; one whose time is up is about to notice.
			if r.serving[id] && !r.frozen && r.slot != "" && r.remaining() > 0 {
				owners = append(owners, r.options.Identity)
			}
		}
		if len(owners) > 1 {
			w.t.Fatalf("%s is served by %v", id, owners)
		}
	}
}

// shares returns how many tenants each replica serves, and fails if one tenant is not served.
func (w *world) shares() map[string]int {
	w.t.Helper()
	shares, sum := map[string]int{}, 0
	for _, r := range w.replicas {
		shares[r.options.Identity] = len(r.serving)
		sum += len(r.serving)
	}
	if sum != len(w.tenants) {
		w.t.Fatalf("%d of %d tenants are served: %v", sum, len(w.tenants), shares)
	}
	return shares
}

// kill ends a replica as kill -9 does.
func (w *world) kill(r *replica) {
	w.replicas = slices.DeleteFunc(w.replicas, func(other *replica) bool { return other == r })
}

// disturb does something to a random replica.
func (w *world) disturb() {
	if len(w.replicas) == 0 {
		w.start("")
		return
	}
	r := w.replicas[w.random.IntN(len(w.replicas))]
	switch w.random.IntN(8) {
	case 0:
		w.kill(r)
	case 1:
		w.kill(r)
		w.start(r.options.Identity) // the container starts again
	case 2:
		if len(w.replicas) < 5 {
			w.start("")
		}
	case 3:
		r.leave(w.t.Context())
		w.kill(r)
	case 4, 5:
		r.cut = !r.cut
	default:
		r.frozen = !r.frozen
		if !r.frozen { // it goes on where it stopped
			w.step(r)
		}
	}
}

// TestNoTenantHasTwoOwners runs 25 schedules of failures. In each, no tenant
// is ever served twice, and when it is quiet again all are served.
func TestNoTenantHasTwoOwners(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed, 12)
			for range 3 {
				w.start("")
			}
			for range 40 {
				w.run(w.clock.Now().Add(time.Duration(w.random.Int64N(int64(12 * time.Second)))))
				w.disturb()
			}
			if len(w.replicas) == 0 {
				w.start("")
			}
			for _, r := range w.replicas {
				r.cut, r.frozen = false, false
			}
			w.run(w.clock.Now().Add(2 * leaseDuration))
			w.shares()
		})
	}
}

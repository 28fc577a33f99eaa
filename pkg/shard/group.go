// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/multicluster-runtime/pkg/manager/coordinator/sharded/sharder"
)

// MaxReplicas is how many replicas can share the tenants: each holds a Lease
// whose name RBAC must list.
const MaxReplicas = 16

// errNoSlot is why a replica is not ready.
var errNoSlot = errors.New("holds no Lease, and so serves no tenant")

// Options configure a Group.
type Options struct {
	// Client reads and writes Leases, live, with a rate limit of its own: one
	// that is held up by other requests loses its Lease. Required.
	Client client.Client
	// Namespace holds the Leases. Required.
	Namespace string
	// Name is the first Lease; the others are Name-1 to Name-15. Required.
	Name string
	// Identity is the candidate. One that finds its own name in a Lease takes it
	// at once, so no two processes may have the same. Required.
	Identity string
	// LeaseDuration is how long a replica that does not renew keeps its tenants.
	// It stops by itself after two thirds of that. Default 15 s, at least 1 s.
	LeaseDuration time.Duration
	// Sharder decides who owns a tenant. Default Rendezvous.
	Sharder sharder.Sharder
	// Clock is the real clock by default.
	Clock clock.Clock
}

// Group is a replica's membership among its peers. It is a runnable of a
// manager, and safe for concurrent use.
type Group struct {
	options  Options
	onChange func()
	// shed carries views for which onChange has returned.
	shed chan string
	// changes counts the calls of onChange that run.
	changes sync.WaitGroup
	// change calls onChange for a view, beside the loop, which must go on renewing.
	change func(ctx context.Context, view string)

	// Of the loop alone.
	slot string // the Lease that is held, or empty
	view string
	done bool // onChange has returned for this view, or for none
	seen map[string]sighting

	mu sync.RWMutex
	// held are views; what all of them give to this slot is owned. The last is
	// the present one; those before it go when all peers are done with it.
	held    [][]sharder.PeerInfo
	self    sharder.PeerInfo
	renewed time.Time
	peers   int
	settled bool
}

// New returns a Group that owns nothing until Start.
func New(options Options) *Group {
	if options.LeaseDuration == 0 {
		options.LeaseDuration = 15 * time.Second
	}
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Sharder == nil {
		options.Sharder = Rendezvous{}
	}
	g := &Group{options: options, onChange: func() {}, done: true, shed: make(chan string), seen: map[string]sighting{}}
	g.change = g.changeInBackground
	return g
}

// OnChange sets what is called when Owns may have changed: it must stop serving
// every tenant that Owns denies, return when that is done, and see to it that
// what Owns allows is served. Calls may overlap. It is set before Start.
func (g *Group) OnChange(changed func()) { g.onChange = changed }

// renewDeadline is how long after its last renewal a replica owns tenants.
func (g *Group) renewDeadline() time.Duration { return g.options.LeaseDuration * 2 / 3 }

// retryPeriod is the time between two looks at the Leases, each of which renews
// this replica's; settlePeriod is the same while peers are waited for.
func (g *Group) retryPeriod() time.Duration { return g.options.LeaseDuration * 2 / 15 }

func (g *Group) settlePeriod() time.Duration { return g.options.LeaseDuration / 30 }

// Owns reports whether this replica serves the tenant of this id now.
func (g *Group) Owns(id string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if len(g.held) == 0 || g.options.Clock.Since(g.renewed) >= g.renewDeadline() {
		return false
	}
	for _, peers := range g.held {
		if !g.options.Sharder.ShouldOwn(id, peers, g.self) {
			return false
		}
	}
	return true
}

// Peers returns how many replicas share the tenants, this one included, and
// whether all of them are done with their number. It is zero while this
// replica has no part.
func (g *Group) Peers() (count int, settled bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.peers, g.settled
}

// Ready is a health check: the replica holds a Lease. It does not wait for
// peers: a rollout that replaces them waits for this.
func (g *Group) Ready(*http.Request) error {
	if count, _ := g.Peers(); count == 0 {
		return errNoSlot
	}
	return nil
}

// NeedLeaderElection says that every replica takes part.
func (g *Group) NeedLeaderElection() bool { return false }

// Start takes part until ctx ends. Then it drops all tenants and gives its
// Lease back, so that they are taken over at once.
func (g *Group) Start(ctx context.Context) error {
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithName("shard").WithValues("replica", g.options.Identity))
	for ctx.Err() == nil {
		timer := g.options.Clock.NewTimer(g.step(ctx))
		select {
		case <-ctx.Done():
		case <-timer.C():
		case view := <-g.shed:
			g.finished(view)
		}
		timer.Stop()
	}
	g.leave(ctx)
	return nil
}

func (g *Group) changeInBackground(ctx context.Context, view string) {
	g.changes.Go(func() {
		g.onChange()
		select {
		case g.shed <- view:
		case <-ctx.Done():
		}
	})
}

// finished says that onChange has returned for a view. Views that came after it
// and went again only took from what it left.
func (g *Group) finished(view string) { g.done = g.done || view == g.view }

// leave is the end.
func (g *Group) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.renewDeadline()/2)
	defer cancel()
	slot := g.slot
	g.forget()
	g.changes.Wait()
	g.onChange()
	if slot == "" {
		return
	}
	if err := g.release(ctx, slot); err != nil {
		ctrl.LoggerFrom(ctx).Info("Cannot give the Lease back; it runs out by itself", "lease", slot, "reason", err.Error())
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/multicluster-runtime/pkg/manager/coordinator/sharded/sharder"
)

// step looks at the Leases once and does what follows. It returns when to look again.
func (g *Group) step(ctx context.Context) time.Duration {
	if g.slot != "" && g.remaining() <= 0 {
		g.lose(ctx, "it could not be renewed in time")
	}
	callCtx, cancel := context.WithTimeout(ctx, g.remaining())
	defer cancel()
	leases, err := g.list(callCtx)
	if err != nil {
		g.complain(ctx, "Cannot list Leases", err)
		return g.pause()
	}
	g.observe(leases)
	if g.slot == "" {
		if !g.done {
			return g.settlePeriod() // what an earlier Lease allowed is still being dropped
		}
		if err := g.claim(callCtx, leases); err != nil {
			g.complain(ctx, "Cannot take a Lease", err)
			return g.retryPeriod()
		}
		if g.slot == "" {
			return g.settlePeriod() // another replica was first
		}
		return 0 // look again: the Lease is part of the view
	}
	mine := leases[g.slot]
	if mine == nil || holder(mine) != g.options.Identity {
		g.lose(ctx, "somebody else has taken it")
		return g.retryPeriod()
	}
	g.fence(callCtx, leases)
	g.adopt(ctx, leases)
	g.settle(ctx, leases)
	if err := g.renew(callCtx, mine); err != nil {
		g.complain(ctx, "Cannot renew the Lease", err)
		return max(0, min(g.settlePeriod(), g.remaining()))
	}
	return g.pause()
}

// remaining is how long this replica still owns what it owns, or the time that
// one without a Lease gives a request.
func (g *Group) remaining() time.Duration {
	if g.slot == "" {
		return g.renewDeadline() / 2
	}
	return g.renewDeadline() - g.options.Clock.Since(g.renewed)
}

// pause is the time to the next look: never past the end of ownership.
func (g *Group) pause() time.Duration {
	period := g.retryPeriod()
	if _, settled := g.Peers(); !settled {
		period = g.settlePeriod()
	}
	return max(0, min(period, g.remaining()))
}

// adopt makes the Leases that are held the view, if they are others than
// before: what it gives to others is dropped at once, what it gives to this
// replica waits for settle.
func (g *Group) adopt(ctx context.Context, leases map[string]*coordinationv1.Lease) {
	var slots []string
	for name, lease := range leases {
		if holder(lease) != "" {
			slots = append(slots, name)
		}
	}
	slices.Sort(slots)
	view := strings.Join(slots, ",")
	if view == g.view {
		return
	}
	ctrl.LoggerFrom(ctx).Info("The replicas that share the tenants have changed", "before", g.view, "now", view)
	g.view, g.done = view, false
	peers := make([]sharder.PeerInfo, 0, len(slots))
	for _, slot := range slots {
		peers = append(peers, sharder.PeerInfo{ID: slot, Weight: 1})
	}
	g.mu.Lock()
	if g.held != nil {
		g.held = append(g.held, peers)
	}
	g.peers, g.settled = len(peers), false
	g.mu.Unlock()
	g.change(ctx, view)
}

// settle owns what the view gives to this replica once all peers, this one
// included, have written that they are done with it.
func (g *Group) settle(ctx context.Context, leases map[string]*coordinationv1.Lease) {
	var peers []sharder.PeerInfo
	for slot := range strings.SplitSeq(g.view, ",") {
		if leases[slot] == nil || leases[slot].Annotations[AnnotationView] != g.view {
			return
		}
		peers = append(peers, sharder.PeerInfo{ID: slot, Weight: 1})
	}
	if _, settled := g.Peers(); settled {
		return
	}
	g.mu.Lock()
	g.held, g.settled = [][]sharder.PeerInfo{peers}, true
	g.mu.Unlock()
	ctrl.LoggerFrom(ctx).Info("All replicas agree on who serves whom", "replicas", g.view)
	g.change(ctx, g.view)
}

// lose drops everything: somebody else may have it by now.
func (g *Group) lose(ctx context.Context, reason string) {
	ctrl.LoggerFrom(ctx).Info("Lost the Lease; serving no tenant", "lease", g.slot, "reason", reason)
	g.forget()
	g.change(ctx, "")
}

// forget owns nothing.
func (g *Group) forget() {
	g.slot, g.view, g.done = "", "", false
	g.mu.Lock()
	g.held, g.peers, g.settled = nil, 0, false
	g.mu.Unlock()
}

func (g *Group) complain(ctx context.Context, message string, err error) {
	if ctx.Err() == nil {
		ctrl.LoggerFrom(ctx).Info(message, "reason", err.Error())
	}
}

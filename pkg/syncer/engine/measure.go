// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// States of an object, and outcomes of a pass.
const (
	stateSynced   = "done"
	stateWaiting  = "waiting"
	stateRejected = "rejected"
	stateFailed   = "failed"
	stateHeld     = "held"
)

// changes remembers when the super cluster was seen to change an object, until
// the tenant has been told.
type changes struct {
	mu    sync.Mutex
	since map[request]time.Time
	most  int // at once since the map was made
}

func newChanges() *changes { return &changes{since: map[request]time.Time{}} }

// saw records a change, unless an earlier one has not been told yet.
func (c *changes) saw(r request, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.since[r]; !ok {
		c.since[r] = now
		c.most = max(c.most, len(c.since))
	}
}

// take returns since when there was something to tell, and forgets it.
func (c *changes) take(r request) (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	since, ok := c.since[r]
	delete(c.since, r)
	if len(c.since) == 0 && c.most > manyItems {
		c.since, c.most = map[request]time.Time{}, 0 // see fairQueue.clear
	}
	return since, ok
}

func (c *changes) dropTenant(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for r := range c.since {
		if r.Tenant == tenant {
			delete(c.since, r)
		}
	}
}

// troubles holds the objects that are not synced, by state.
type troubles struct {
	mu     sync.Mutex
	states map[request]string
}

func newTroubles() *troubles { return &troubles{states: map[request]string{}} }

func (t *troubles) set(r request, state string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if state == stateSynced {
		delete(t.states, r)
		return
	}
	t.states[r] = state
}

func (t *troubles) dropTenant(tenant string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := range t.states {
		if r.Tenant == tenant {
			delete(t.states, r)
		}
	}
}

// count returns the number of objects in each state but stateSynced.
func (t *troubles) count() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := map[string]int{}
	for _, state := range t.states {
		counts[state]++
	}
	return counts
}

// finished books the outcome of a pass.
func (c *controller) finished(p *pass, state string) {
	c.engine.metrics.finished(c.kind, state)
	if p.tenantCluster.ctx.Err() == nil {
		c.troubles.set(p.request, state)
	}
}

// measure observes how long it took until what changed on one side was written
// on the other.
func (p *pass) measure(err error) {
	c := p.controller
	now := c.engine.options.Clock.Now()
	if p.created {
		c.engine.metrics.took(c.kind, kind.Down, now.Sub(createdAt(p.tenant, p.added)))
	}
	if c.kind.Direction == kind.Up {
		if p.wrote && err == nil {
			c.engine.metrics.took(c.kind, kind.Up, now.Sub(p.added))
		}
		return
	}
	if err != nil {
		return // what there is to tell is still to be told
	}
	if since, ok := c.changes.take(p.request); ok && p.reported {
		c.engine.metrics.took(c.kind, kind.Up, now.Sub(since))
	}
}

// createdAt is when an object was created. API servers say so in whole seconds:
// where the pass was asked for within that second, the asking is closer.
func createdAt(object client.Object, added time.Time) time.Time {
	created := object.GetCreationTimestamp().Time
	if created.IsZero() || added.After(created) && added.Before(created.Add(time.Second)) {
		return added
	}
	return created
}

// countObjects samples the objects of a kind by state.
func (e *Engine) countObjects(ctx context.Context, c *controller) {
	counts := c.troubles.count()
	for _, state := range []string{stateWaiting, stateRejected, stateFailed, stateHeld} {
		e.metrics.objects.WithLabelValues(c.kind.Name, state).Set(float64(counts[state]))
	}
	if c.kind.Direction == kind.Up {
		return
	}
	synced := 0
	stamped := []client.ListOption{client.MatchingLabelsSelector{Selector: identity.Selector()}, client.UnsafeDisableDeepCopy}
	err := e.tryEach(ctx, e.options.Super.GetClient(), c.kind.New(), stamped, func(super client.Object) {
		if !names.IsReserved(super.GetName()) { // attachments belong to their object
			synced++
		}
	})
	if err == nil {
		e.metrics.objects.WithLabelValues(c.kind.Name, "synced").Set(float64(synced))
	}
}

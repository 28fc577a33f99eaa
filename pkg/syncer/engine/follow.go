// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

const cannotCount = "Cannot count what the tenant has against its quota, trying again"

// follow makes a tenant take part until it is disengaged.
func (e *Engine) follow(t *tenant) {
	defer e.disengage(t)
	log := ctrl.LoggerFrom(t.ctx)
	if !e.prepare(t) {
		return
	}
	t.synced.Store(true)
	e.metrics.tenants.Inc()
	log.Info("Tenant is synced")
	e.enqueueTenant(t, func(*controller) bool { return true })
	resync := e.options.Clock.NewTicker(e.options.ResyncPeriod)
	defer resync.Stop()
	look := e.options.Clock.NewTimer(e.untilLook())
	defer look.Stop()
	for {
		_, changed := t.Facts()
		if !e.untilDone(t, e.meter, cannotCount) {
			return
		}
		select {
		case <-t.ctx.Done():
			return
		case <-look.C():
			e.look(t)
			look.Reset(e.untilLook())
		case <-t.freed:
			e.enqueueTenant(t, func(*controller) bool { return true })
		case <-changed:
			e.weigh(t)
			e.enqueueTenant(t, func(c *controller) bool { return c.kind.UsesFacts })
		case <-resync.C():
			e.enqueueTenant(t, func(*controller) bool { return true })
		}
	}
}

// prepare gets to know a tenant before anything is done for it, or reports that it
// is disengaged.
func (e *Engine) prepare(t *tenant) bool {
	select {
	case <-e.running:
	case <-t.ctx.Done():
		return false
	}
	return e.untilDone(t, e.watchTenant, "Cannot watch the tenant, trying again") &&
		e.untilDone(t, e.meet, "Cannot compare the tenant with the super cluster, trying again") &&
		e.untilDone(t, e.meter, cannotCount)
}

// untilLook is the time until the next look at a tenant.
func (e *Engine) untilLook() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(lookInterval, time.Duration(len(e.tenants))*lookShare)
}

// untilDone repeats a step until it succeeds, or reports that the tenant is disengaged.
func (e *Engine) untilDone(t *tenant, step func(*tenant) error, failed string) bool {
	for err := step(t); err != nil; err = step(t) {
		if t.ctx.Err() != nil {
			return false
		}
		ctrl.LoggerFrom(t.ctx).Error(err, failed)
		if !e.pause(t.ctx, time.Second) {
			return false
		}
	}
	return true
}

// pause waits; it reports whether to go on.
func (e *Engine) pause(ctx context.Context, d time.Duration) bool {
	timer := e.options.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
		return true
	}
}

// watched is a kind of object of a tenant that the engine looks at.
type watched struct {
	object client.Object
	// witnesses are told of deletions that are seen to happen.
	witnesses []func(client.Object)
	handlers  []func(object client.Object, deleted bool)
}

// watchTenant subscribes to a tenant's caches and waits until they are synced.
// Until then the handlers only keep books: no request of the tenant is queued.
func (e *Engine) watchTenant(t *tenant) error {
	watches, err := e.watches(t)
	if err != nil {
		return err
	}
	// Only this asks the tenant, and can fail: another attempt must not find
	// handlers that the last one left.
	var synced []toolscache.InformerSynced
	for _, w := range watches {
		informer, err := t.GetCache().GetInformer(t.ctx, w.object, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watching tenant %T: %w", w.object, err)
		}
		synced = append(synced, informer.HasSynced)
	}
	for _, w := range watches {
		if len(w.handlers) == 0 {
			continue // it is only read
		}
		registration, err := subscribe(t.ctx, t.GetCache(), w.object, listener{witness: w.witness, handle: w.handle})
		if err != nil {
			return fmt.Errorf("watching tenant %T: %w", w.object, err)
		}
		synced = append(synced, registration.HasSynced)
	}
	if !toolscache.WaitForCacheSync(t.ctx.Done(), synced...) {
		return fmt.Errorf("syncing the tenant's caches: %w", t.ctx.Err())
	}
	return nil
}

func (w *watched) witness(object client.Object) {
	for _, witness := range w.witnesses {
		witness(object)
	}
}

func (w *watched) handle(object client.Object, deleted bool) {
	for _, handle := range w.handlers {
		handle(object, deleted)
	}
}

// watches lists what is looked at in a tenant, each type once: a handler is a
// buffer and two goroutines, which thousands of tenants would pay for each.
func (e *Engine) watches(t *tenant) ([]*watched, error) {
	var watches []*watched
	byType := map[schema.GroupVersionKind]*watched{}
	var errs []error
	of := func(object client.Object) *watched {
		gvk, err := apiutil.GVKForObject(object, e.options.Super.GetScheme())
		errs = append(errs, err)
		if byType[gvk] == nil {
			byType[gvk] = &watched{object: object}
			watches = append(watches, byType[gvk])
		}
		return byType[gvk]
	}
	for _, c := range e.controllers {
		own := of(c.kind.New())
		own.witnesses = append(own.witnesses, c.sawDeletion(t))
		own.handlers = append(own.handlers, c.tenantEvent(t))
		for _, used := range c.kind.Uses {
			of(used)
		}
		for _, trigger := range c.kind.Triggers {
			if !trigger.InSuper {
				from := of(trigger.From)
				from.handlers = append(from.handlers, c.triggerEvent(t, trigger))
			}
		}
		for _, references := range c.kind.References {
			from := of(references.From)
			from.handlers = append(from.handlers, c.referrerEvent(t, references))
		}
	}
	return watches, errors.Join(errs...)
}

// tenantEvent maps a change of the tenant's own object.
func (c *controller) tenantEvent(t *tenant) func(client.Object, bool) {
	return func(object client.Object, deleted bool) {
		r := request{Tenant: t.ID, NamespacedName: client.ObjectKeyFromObject(object)}
		echo := c.tenantWrites.observe(overlayKey{t.ID, r.NamespacedName}, object, deleted)
		t.shown.add(object.GetResourceVersion())
		if !deleted && !object.GetDeletionTimestamp().IsZero() {
			c.sawDeletion(t)(object)
		}
		if deleted {
			c.tenantDeletions.forget(overlayKey{t.ID, r.NamespacedName})
			c.bindings.forget(overlayKey{t.ID, r.NamespacedName})
		}
		if echo || !deleted && c.asked(t, object) || !t.synced.Load() || !c.followsTenant() {
			return
		}
		// An object without a twin begins something; all else is in flight.
		p := finish
		if !deleted && object.GetDeletionTimestamp().IsZero() && c.begins(object) {
			p = begin
		}
		c.queue.Add(r, p)
	}
}

// sawDeletion records that somebody in the tenant deletes an object, or has deleted it.
func (c *controller) sawDeletion(t *tenant) func(client.Object) {
	return func(object client.Object) {
		if c.kind.Direction == kind.Down {
			c.witness.saw(request{Tenant: t.ID, NamespacedName: client.ObjectKeyFromObject(object)}, object.GetUID())
		}
	}
}

// followsTenant reports whether a change in a tenant is anything to the kind.
func (c *controller) followsTenant() bool { return c.kind.Direction == kind.Down || c.kind.Mirror }

// begins reports whether a live tenant object stands at the start of its life.
func (c *controller) begins(object client.Object) bool {
	return c.kind.Bound == nil || !c.kind.Bound(object)
}

// referrerEvent maps a change of an object to those it refers to.
func (c *controller) referrerEvent(t *tenant, references kind.References) func(client.Object, bool) {
	return func(object client.Object, _ bool) {
		if !t.synced.Load() {
			return
		}
		for _, name := range references.Names(object) {
			key := types.NamespacedName{Namespace: object.GetNamespace(), Name: name}
			c.queue.Add(request{Tenant: t.ID, NamespacedName: key}, finish)
		}
	}
}

// triggerEvent maps a change of an object to the objects of the kind that it concerns.
func (c *controller) triggerEvent(t *tenant, trigger kind.Trigger) func(client.Object, bool) {
	return func(from client.Object, _ bool) {
		switch {
		case !t.synced.Load():
		case trigger.Keys == nil:
			c.engine.each(t.ctx, t.client, c.kind.New(), nil, c.tenantEvent(t))
		default:
			for _, key := range trigger.Keys(t.ctx, t.client, from) {
				c.queue.Add(request{Tenant: t.ID, NamespacedName: key}, finish)
			}
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// watchSuper subscribes to the super cluster's caches and waits until they are synced.
func (e *Engine) watchSuper(ctx context.Context) error {
	var synced []toolscache.InformerSynced
	watch := func(object client.Object, to listener) error {
		registration, err := subscribe(ctx, e.options.Super.GetCache(), object, to)
		if err != nil {
			return fmt.Errorf("watching super %T: %w", object, err)
		}
		synced = append(synced, registration.HasSynced)
		return nil
	}
	for _, c := range e.controllers {
		if err := watch(c.kind.New(), c.superListener(ctx)); err != nil {
			return err
		}
		for _, trigger := range c.kind.Triggers {
			if !trigger.InSuper {
				continue
			}
			if err := watch(trigger.From, listener{handle: c.superTriggerEvent(trigger)}); err != nil {
				return err
			}
		}
		if c.kind.Attach == nil {
			continue
		}
		if err := watch(&corev1.Secret{}, listener{handle: c.attachmentEvent}); err != nil {
			return err
		}
	}
	if !toolscache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("syncing the super cluster's caches: %w", ctx.Err())
	}
	return nil
}

// listener is told what a cache sees.
type listener struct {
	// handle is called for every change.
	handle func(object client.Object, deleted bool)
	// witness is called before handle for a deletion that the watch has seen happen:
	// of one that a later list only implies nobody knows why. It may be nil.
	witness func(client.Object)
	// count is called first of all, for every change. It may be nil.
	count func(object client.Object, deleted bool)
	// ignore reports a change that handle need not see. It may be nil.
	ignore func(before, now client.Object) bool
}

func (l *listener) counts(object client.Object, deleted bool) {
	if l.count != nil {
		l.count(object, deleted)
	}
}

func subscribe(ctx context.Context, objects cache.Cache, object client.Object, to listener) (toolscache.ResourceEventHandlerRegistration, error) {
	informer, err := objects.GetInformer(ctx, object, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, err
	}
	return informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(added any) {
			to.counts(added.(client.Object), false)
			to.handle(added.(client.Object), false)
		},
		UpdateFunc: func(before, updated any) {
			to.counts(updated.(client.Object), false)
			if now := updated.(client.Object); to.ignore == nil || !to.ignore(before.(client.Object), now) {
				to.handle(now, false)
			}
		},
		DeleteFunc: func(deleted any) {
			last, implied := deleted.(toolscache.DeletedFinalStateUnknown)
			if implied {
				deleted = last.Obj
			}
			object, ok := deleted.(client.Object)
			if !ok {
				return
			}
			to.counts(object, true)
			if to.witness != nil && !implied {
				to.witness(object)
			}
			to.handle(object, true)
		},
	})
}

// superListener follows the super objects of the kind.
func (c *controller) superListener(ctx context.Context) listener {
	to := listener{witness: c.sawEnd, ignore: c.superOnlyEnds, handle: c.superEvent(ctx)}
	if c.ledger != nil {
		to.count = c.count(ctx)
	}
	return to
}

// sawEnd records that the super object of something that runs once is gone: the
// super cluster said so itself.
func (c *controller) sawEnd(object client.Object) {
	owner, ok := identity.Of(object)
	if !ok || c.kind.Lifecycle != kind.Process || c.engine.tenant(owner.TenantID) == nil {
		return
	}
	c.ended.set(overlayKey{owner.TenantID, types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}}, owner.UID)
}

// superEvent maps a change in the super cluster through the stamp.
func (c *controller) superEvent(ctx context.Context) func(client.Object, bool) {
	if c.kind.Direction == kind.Up {
		return func(object client.Object, _ bool) { c.shownEvent(ctx, object) }
	}
	return func(object client.Object, deleted bool) {
		c.superShown.add(object.GetResourceVersion())
		owner, ok := identity.Of(object)
		if !ok {
			return
		}
		t := c.engine.tenant(owner.TenantID)
		if t == nil {
			return // its objects are looked through when it is engaged
		}
		key := types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}
		if c.kind.SuperKey(t.names, key) != client.ObjectKeyFromObject(object) {
			return // an attachment
		}
		written := overlayKey{t.ID, client.ObjectKeyFromObject(object)}
		if c.superWrites.observe(written, object, deleted) && !wakes(object) {
			return
		}
		c.changes.saw(request{Tenant: t.ID, NamespacedName: key}, c.engine.options.Clock.Now())
		if deleted || c.accepted(object) {
			c.queue.Accepted(request{Tenant: t.ID, NamespacedName: key})
		}
		if deleted {
			c.superDeletions.forget(written)
		}
		c.queue.Add(request{Tenant: t.ID, NamespacedName: key}, finish)
		if wakes(object) {
			c.engine.superNamespaceEvent(t, owner.Name, object, deleted)
		}
	}
}

// superNamespaceEvent serves those who wait for a super namespace, or for its end.
func (e *Engine) superNamespaceEvent(t *tenant, tenantNamespace string, superNamespace client.Object, deleted bool) {
	switch {
	case deleted:
		e.namespaceGone(t)
	case superNamespace.GetDeletionTimestamp().IsZero():
		e.wakeNamespace(t, tenantNamespace)
	}
}

// accepted reports whether the super cluster has taken an object up, or said that
// nobody will.
func (c *controller) accepted(object client.Object) bool {
	return c.kind.Accepted != nil && c.kind.Accepted(object)
}

// wakes reports whether others wait for a super object to be seen.
func wakes(object client.Object) bool {
	_, isNamespace := object.(*corev1.Namespace)
	return isNamespace
}

// superTriggerEvent maps a change of a tenant's super object to the objects of
// the kind that it concerns.
func (c *controller) superTriggerEvent(trigger kind.Trigger) func(client.Object, bool) {
	return func(from client.Object, deleted bool) {
		owner, _ := identity.Of(from)
		if t := c.engine.tenant(owner.TenantID); t != nil {
			c.triggerEvent(t, trigger)(from, deleted)
		}
	}
}

// shownEvent maps a super object that tenants may see: of a catalogue to every
// tenant, otherwise through the stamp of the namespace of what it is about.
func (c *controller) shownEvent(ctx context.Context, object client.Object) {
	if c.kind.Catalogue() {
		c.engine.eachTenant(func(t *tenant) { c.shownTo(t, object) })
		return
	}
	superNamespace := object.GetNamespace()
	if c.kind.Mirror {
		_, about, _ := c.kind.About(object)
		superNamespace = about.Namespace
	}
	if superNamespace == "" {
		return
	}
	var namespace corev1.Namespace
	err := c.engine.options.Super.GetClient().Get(ctx, client.ObjectKey{Name: superNamespace}, &namespace)
	if err != nil {
		return // not one of ours, or gone
	}
	owner, ok := identity.Of(&namespace)
	t := c.engine.tenant(owner.TenantID)
	if !ok || t == nil {
		return
	}
	key := types.NamespacedName{Name: object.GetName()}
	if !c.kind.Mirror {
		key.Namespace = owner.Name
		if !c.kind.Visible(t.env().Facts, object) {
			return
		}
	}
	c.queue.Add(request{Tenant: t.ID, NamespacedName: key}, c.urgency(object))
}

// urgency puts what a tenant must hear soon before what it may hear later.
func (c *controller) urgency(shown client.Object) priority {
	return priority(c.kind.Urgent != nil && c.kind.Urgent(shown))
}

// shownTo queues a mirrored object for one tenant, by its name alone.
func (c *controller) shownTo(t *tenant, object client.Object) {
	c.queue.Add(request{Tenant: t.ID, NamespacedName: types.NamespacedName{Name: object.GetName()}}, begin)
}

// eachTenant calls do for every tenant that is synced.
func (e *Engine) eachTenant(do func(*tenant)) {
	e.mu.Lock()
	synced := make([]*tenant, 0, len(e.tenants))
	for _, t := range e.tenants {
		if t.synced.Load() {
			synced = append(synced, t)
		}
	}
	e.mu.Unlock()
	for _, t := range synced {
		do(t)
	}
}

// attachmentEvent maps a Secret that belongs to a super object of this kind.
func (c *controller) attachmentEvent(object client.Object, deleted bool) {
	owner, ok := identity.Of(object)
	if !ok || !names.IsReserved(object.GetName()) || c.engine.tenant(owner.TenantID) == nil {
		return
	}
	c.attachmentWrites.observe(overlayKey{owner.TenantID, client.ObjectKeyFromObject(object)}, object, deleted)
	if deleted {
		key := types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}
		c.queue.Add(request{Tenant: owner.TenantID, NamespacedName: key}, finish)
	}
}

// enqueueTenant queues every object of a tenant that either side knows.
func (e *Engine) enqueueTenant(t *tenant, selects func(*controller) bool) {
	for _, c := range e.controllers {
		if !selects(c) {
			continue
		}
		if c.kind.Direction == kind.Down {
			e.each(t.ctx, t.client, c.kind.New(), nil, c.tenantEvent(t))
			e.each(t.ctx, e.options.Super.GetClient(), c.kind.New(),
				[]client.ListOption{client.MatchingLabelsSelector{Selector: identity.TenantSelector(t.ID)}}, c.superEvent(t.ctx))
			continue
		}
		e.eachShown(t, c)
	}
}

// eachShown queues what the super cluster tells about a tenant: the catalogue,
// what lies in its namespaces or is about something there, and nothing of its
// neighbours'.
func (e *Engine) eachShown(t *tenant, c *controller) {
	superClient := e.options.Super.GetClient()
	if c.kind.Mirror {
		e.eachCopy(t, c)
	}
	if c.kind.Catalogue() {
		e.each(t.ctx, superClient, c.kind.New(), nil, func(super client.Object, _ bool) { c.shownTo(t, super) })
		return
	}
	ofTenant := []client.ListOption{client.MatchingLabelsSelector{Selector: identity.TenantSelector(t.ID)}}
	e.each(t.ctx, superClient, &corev1.Namespace{}, ofTenant, func(superNamespace client.Object, _ bool) {
		within := []client.ListOption{client.InNamespace(superNamespace.GetName())}
		if c.kind.Mirror {
			within = []client.ListOption{client.MatchingFields{subjectField: superNamespace.GetName()}}
		}
		e.each(t.ctx, superClient, c.kind.New(), within, c.superEvent(t.ctx))
	})
}

// eachCopy queues the copies that a tenant holds, whether or not they show anything still.
func (e *Engine) eachCopy(t *tenant, c *controller) {
	copies := []client.ListOption{client.MatchingLabels{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedBySyncer}}
	e.each(t.ctx, t.client, c.kind.New(), copies, c.tenantEvent(t))
}

// namespaceGone queues the copies of what was about something in a super
// namespace: nothing says any more whose that is.
func (e *Engine) namespaceGone(t *tenant) {
	for _, c := range e.controllers {
		if c.kind.Mirror && !c.kind.Catalogue() {
			e.eachCopy(t, c)
		}
	}
}

// wakeNamespace queues the tenant objects that waited for a super namespace.
func (e *Engine) wakeNamespace(t *tenant, tenantNamespace string) {
	for _, c := range e.controllers {
		if _, isNamespace := c.kind.New().(*corev1.Namespace); isNamespace || c.kind.Direction == kind.Up {
			continue
		}
		e.each(t.ctx, t.client, c.kind.New(), []client.ListOption{client.InNamespace(tenantNamespace)}, c.tenantEvent(t))
	}
}

// each calls handle for every object that a cache holds, and logs why it cannot.
func (e *Engine) each(ctx context.Context, cached client.Reader, object client.Object, options []client.ListOption, handle func(client.Object, bool)) {
	if err := e.tryEach(ctx, cached, object, options, func(object client.Object) { handle(object, false) }); err != nil && ctx.Err() == nil {
		ctrl.LoggerFrom(ctx).Error(err, "Cannot list from the cache")
	}
}

// tryEach calls handle for every object that a cache holds.
func (e *Engine) tryEach(ctx context.Context, cached client.Reader, object client.Object, options []client.ListOption, handle func(client.Object)) error {
	list, err := listOf(e.options.Super.GetScheme(), object)
	if err != nil {
		return err
	}
	if err := cached.List(ctx, list, options...); err != nil {
		return fmt.Errorf("listing %T: %w", object, err)
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return fmt.Errorf("reading a list of %T: %w", object, err)
	}
	for _, item := range items {
		if listed, ok := item.(client.Object); ok {
			handle(listed)
		}
	}
	return nil
}

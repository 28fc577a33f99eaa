// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// pass is one reconcile of one object.
type pass struct {
	controller    *controller
	tenantCluster *tenant
	request       request

	// Set by load. tenant and super are nil where there is no object.
	env      kind.Env
	superKey types.NamespacedName
	tenant   client.Object
	super    client.Object
	owner    identity.Owner // of super

	// added is when the pass was asked for.
	added          time.Time
	notes          []note
	wrote          bool
	refusedBySuper bool
	// refusal is the super API server's own error to a write.
	refusal error
	// created says that the super object was made, reported that the tenant was told.
	created, reported bool
	// asked says that the quota was asked for room.
	asked bool
	// ahead says that a side was shown by the engine's own writes, because its
	// cache was late.
	ahead bool
}

// reconcile brings both sides together. It returns when to look again, or zero.
func (p *pass) reconcile(ctx context.Context) (time.Duration, error) {
	if p.controller.kind.Direction == kind.Up {
		return 0, p.show(ctx)
	}
	again, err := p.run(ctx)
	if !p.asked {
		p.notAsked()
	}
	return again, err
}

func (p *pass) run(ctx context.Context) (time.Duration, error) {
	if err := p.load(ctx); err != nil {
		return 0, err
	}
	if p.controller.kind.Lifecycle == kind.Process {
		return p.process(ctx)
	}
	return p.declared(ctx)
}

// load reads both objects and refuses a super object that is somebody else's.
func (p *pass) load(ctx context.Context) error {
	c, t := p.controller, p.tenantCluster
	p.env = p.newEnv()
	p.superKey = c.kind.SuperKey(t.names, p.request.NamespacedName)
	if err := p.clearDoubt(ctx); err != nil {
		return err
	}
	tenantObject, err := p.read(ctx, t.client, p.request.NamespacedName)
	if err != nil {
		return fmt.Errorf("reading the tenant's object: %w", err)
	}
	p.tenant = c.tenantWrites.latest(overlayKey{t.ID, p.request.NamespacedName}, tenantObject)
	superObject, err := p.read(ctx, c.engine.options.Super.GetClient(), p.superKey)
	if err != nil {
		return fmt.Errorf("reading the super object: %w", err)
	}
	p.super = c.superWrites.latest(overlayKey{t.ID, p.superKey}, superObject)
	p.ahead = p.tenant != tenantObject || p.super != superObject
	if p.super == nil {
		p.settled("")
		return nil
	}
	var ours bool
	if p.owner, ours = p.ownerOf(p.super); !ours {
		p.super = nil
		return kind.Reject("metadata.name", "the platform holds another object of this name in the super cluster; choose another name")
	}
	if p.tenant != nil && p.tenant.GetUID() == p.owner.UID {
		p.settled(p.owner.UID)
	}
	return nil
}

// ownerOf returns the stamp of a super object, and whether it is that of this
// request's tenant object, of whatever UID.
func (p *pass) ownerOf(super client.Object) (owner identity.Owner, ours bool) {
	owner, stamped := identity.Of(super)
	return owner, stamped && owner.TenantID == p.tenantCluster.ID &&
		owner.Namespace == p.request.Namespace && owner.Name == p.request.Name
}

// read returns an object of the kind, or nil.
func (p *pass) read(ctx context.Context, reader client.Reader, key types.NamespacedName) (client.Object, error) {
	object := p.controller.kind.New()
	return found(object, reader.Get(ctx, key, object))
}

// declared makes the super object exist exactly while the tenant's does.
func (p *pass) declared(ctx context.Context) (time.Duration, error) {
	if err := p.heal(ctx, nil); err != nil {
		return 0, err
	}
	wanted := p.tenant != nil && p.selected(ctx)
	switch {
	case p.super != nil && (!wanted || p.owner.UID != p.tenant.GetUID()):
		return 0, p.removeSuper(ctx, nil)
	case !wanted, p.super == nil && !p.tenant.GetDeletionTimestamp().IsZero():
		return 0, nil
	case p.super != nil && !p.super.GetDeletionTimestamp().IsZero():
		if !p.tenant.GetDeletionTimestamp().IsZero() {
			return 0, nil
		}
		return 0, kind.Wait("its forerunner, which is still being removed from the platform's cluster") // made again when it is gone
	}
	if err := p.apply(ctx); err != nil {
		return 0, p.healed(ctx, err)
	}
	return 0, p.healed(ctx, p.report(ctx))
}

// selected reports whether the tenant's object takes part.
func (p *pass) selected(ctx context.Context) bool {
	k := p.controller.kind
	if k.Select != nil && !k.Select(p.tenant) {
		return false
	}
	return len(k.References) == 0 || p.referred(ctx)
}

// apply creates the super object or repairs the difference. p.super is live afterwards.
func (p *pass) apply(ctx context.Context) error {
	if names.IsReserved(p.request.Name) {
		return kind.Reject("metadata.name", "names that begin like %q are kept for the platform; choose another name", p.request.Name)
	}
	p.tenantCluster.brake.present(p.orphanKey())
	if err := p.namespaceReady(ctx); err != nil {
		return err
	}
	desired := p.controller.kind.New()
	if p.super != nil {
		desired = p.super.DeepCopyObject().(client.Object)
	}
	if !p.controller.kind.HideMetadata {
		desired.SetLabels(policy.Metadata(p.tenant.GetLabels(), desired.GetLabels()))
		desired.SetAnnotations(policy.Metadata(p.tenant.GetAnnotations(), desired.GetAnnotations()))
	}
	if err := p.controller.kind.Down(ctx, p.env, p.tenant, desired); err != nil {
		return err
	}
	desired.SetNamespace(p.superKey.Namespace)
	desired.SetName(p.superKey.Name)
	identity.Stamp(desired, p.identity(), p.tenantCluster.VirtualCluster)
	p.keepOrigin(desired)
	switch {
	case p.super == nil:
		p.setOrigin(desired)
		if err := p.createSuper(ctx, desired); err != nil {
			return err
		}
	case !equal(p.super, desired):
		p.setOrigin(desired)
		if err := p.patchSuper(ctx, desired); err != nil {
			return err
		}
	}
	p.tellNotes(ctx)
	return nil
}

// identity is the stamp of this tenant object.
func (p *pass) identity() identity.Owner {
	return identity.Owner{
		TenantID: p.tenantCluster.ID, Namespace: p.request.Namespace, Name: p.request.Name, UID: p.tenant.GetUID(),
	}
}

// namespaceReady waits until the super namespace exists, is this tenant's, and
// stands for the tenant's present namespace and not for its forerunner.
func (p *pass) namespaceReady(ctx context.Context) error {
	if p.request.Namespace == "" {
		return nil
	}
	var superNamespace corev1.Namespace
	key := client.ObjectKey{Name: p.superKey.Namespace}
	object, err := found(&superNamespace, p.controller.engine.options.Super.GetClient().Get(ctx, key, &superNamespace))
	if err != nil {
		return fmt.Errorf("reading the super namespace: %w", err)
	}
	if object == nil {
		return kind.Wait("the namespace")
	}
	if !superNamespace.DeletionTimestamp.IsZero() {
		return kind.Wait("the namespace: one of this name is still being removed from the platform's cluster")
	}
	var tenantNamespace corev1.Namespace
	object, err = found(&tenantNamespace, p.tenantCluster.client.Get(ctx, client.ObjectKey{Name: p.request.Namespace}, &tenantNamespace))
	if err != nil {
		return fmt.Errorf("reading the tenant namespace: %w", err)
	}
	owner, stamped := identity.Of(&superNamespace)
	if !stamped || owner.TenantID != p.tenantCluster.ID || owner.Name != p.request.Namespace ||
		object == nil || owner.UID != tenantNamespace.UID {
		return kind.Wait("the namespace")
	}
	return nil
}

// report lets the kind write back what the super object says.
func (p *pass) report(ctx context.Context) error {
	if p.controller.kind.Up == nil || p.super == nil || p.tenant == nil {
		return nil
	}
	if p.binding() {
		p.ahead = true // the tenant's object changes under any report until its binding is seen
		return nil
	}
	reported := p.tenant.DeepCopyObject().(client.Object)
	if err := p.controller.kind.Up(ctx, p.env, p.super, reported); err != nil {
		return err
	}
	return p.patchTenant(ctx, reported)
}

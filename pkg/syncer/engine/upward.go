// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// lateSubject is how long what an object is about may be seen after the object:
// they come by two watches.
const lateSubject = 2 * time.Second

// show makes a tenant see a super object that tells about one of its own. What
// the super cluster forgets later the tenant keeps: it has a life of its own there.
func (p *pass) show(ctx context.Context) error {
	c, t := p.controller, p.tenantCluster
	if c.kind.Mirror {
		return p.mirror(ctx)
	}
	p.env = p.newEnv()
	p.superKey = types.NamespacedName{Namespace: t.names.Namespace(p.request.Namespace), Name: p.request.Name}
	super, err := p.read(ctx, c.engine.options.Super.GetClient(), p.superKey)
	if err != nil || super == nil || !c.kind.Visible(p.env.Facts, super) {
		return err
	}
	subject, err := p.subject(ctx, super)
	if kind.IsWait(err) && c.engine.options.Clock.Since(p.added) > lateSubject {
		return nil // it is not about to be seen: it is gone, and nobody will look
	}
	if err != nil {
		return err
	}
	cached, err := p.read(ctx, t.client, p.request.NamespacedName)
	if err != nil {
		return fmt.Errorf("reading the tenant's object: %w", err)
	}
	p.tenant = c.tenantWrites.latest(overlayKey{t.ID, p.request.NamespacedName}, cached)
	shown := c.kind.New()
	if p.tenant != nil {
		shown = p.tenant.DeepCopyObject().(client.Object)
	}
	if err := c.kind.Show(p.env, super, subject, shown); err != nil {
		return err
	}
	shown.SetNamespace(p.request.Namespace)
	shown.SetName(p.request.Name)
	return p.writeShown(ctx, shown)
}

// subject finds the tenant object that super tells about, through the stamp of
// the super object it names.
func (p *pass) subject(ctx context.Context, super client.Object) (kind.Subject, error) {
	about, key, uid := p.controller.kind.About(super)
	object, err := found(about, p.controller.engine.options.Super.GetClient().Get(ctx, key, about))
	if err != nil {
		return kind.Subject{}, fmt.Errorf("reading what it is about: %w", err)
	}
	if object == nil || object.GetUID() != uid {
		return kind.Subject{}, kind.Wait("the object it is about")
	}
	owner, stamped := identity.Of(object)
	if !stamped || owner.TenantID != p.tenantCluster.ID || owner.Namespace != p.request.Namespace {
		return kind.Subject{}, kind.Wait("an object of the tenant")
	}
	return kind.Subject{
		NamespacedName: types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name},
		UID:            owner.UID, Super: key, Object: object,
	}, nil
}

func (p *pass) writeShown(ctx context.Context, shown client.Object) error {
	var err error
	remember := p.controller.tenantWrites.changed
	switch {
	case p.tenant == nil:
		remember = p.controller.tenantWrites.created
		err = p.tenantCluster.client.Create(ctx, shown)
		p.wroteTenant("create")
	case equal(p.tenant, shown):
		return nil
	default:
		err = p.tenantCluster.client.Patch(ctx, shown, client.MergeFrom(p.tenant))
		p.wroteTenant("patch")
	}
	if err != nil {
		if isNamespaceLate(err) {
			return nil // the tenant's namespace is going: nobody will look
		}
		return fmt.Errorf("showing to the tenant: %w", err)
	}
	remember(overlayKey{p.tenantCluster.ID, p.request.NamespacedName}, shown)
	return nil
}

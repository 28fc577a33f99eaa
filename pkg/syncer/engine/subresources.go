// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// patchSuper writes the difference: every part that has a path of its own on
// that path, then the rest. A part that is refused does not hold up the others.
func (p *pass) patchSuper(ctx context.Context, desired client.Object) error {
	base := p.super.DeepCopyObject().(client.Object)
	var errs []error
	for _, part := range p.controller.kind.Subresources {
		errs = append(errs, p.patchPart(ctx, part, base, desired))
	}
	if !equal(base, desired) {
		errs = append(errs, p.patchRest(ctx, base, desired))
	}
	return errors.Join(errs...)
}

// patchPart sends one part. Afterwards base and desired agree on it: they have
// what the super cluster made of it, or what it had before if it refused.
func (p *pass) patchPart(ctx context.Context, part kind.Subresource[client.Object], base, desired client.Object) error {
	patched := base.DeepCopyObject().(client.Object)
	part.Copy(desired, patched)
	if equal(base, patched) {
		part.Copy(base, desired)
		return nil
	}
	if err := p.reserve(ctx, patched); err != nil {
		part.Copy(base, desired)
		return p.putOff(ctx, err)
	}
	patch := client.MergeFromWithOptions(base.DeepCopyObject().(client.Object), client.MergeFromWithOptimisticLock{})
	err := p.controller.engine.options.Super.GetClient().SubResource(part.Name).Patch(ctx, patched, patch)
	p.wroteSuper("patch-" + part.Name)
	p.reserved(ctx, patched, err)
	if err != nil {
		part.Copy(base, desired)
		return fmt.Errorf("%s: %w", part.Name, p.explainSuper(err))
	}
	p.superPatched(patched)
	for _, object := range []client.Object{base, desired} {
		part.Copy(patched, object)
		object.SetResourceVersion(patched.GetResourceVersion())
	}
	return nil
}

// patchRest sends what has no path of its own. The optimistic lock keeps a list
// that somebody else changed meanwhile from being replaced.
func (p *pass) patchRest(ctx context.Context, base, desired client.Object) error {
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	err := p.controller.engine.options.Super.GetClient().Patch(ctx, desired, patch)
	p.wroteSuper("patch")
	if err != nil {
		return p.explainSuper(err)
	}
	p.superPatched(desired)
	return nil
}

// superPatched remembers what the super cluster answered.
func (p *pass) superPatched(object client.Object) {
	p.super = object
	p.controller.superWrites.changed(overlayKey{p.tenantCluster.ID, p.superKey}, object.DeepCopyObject().(client.Object))
}

// hold tells the tenant's object why it has no super object.
func (p *pass) hold(ctx context.Context, reason error) error {
	k := p.controller.kind
	if k.Hold == nil || p.tenant == nil || (kind.AsReject(reason) == nil && !kind.IsUnplaced(reason)) {
		return nil
	}
	held := p.tenant.DeepCopyObject().(client.Object)
	k.Hold(held, reason)
	if equal(p.tenant, held) {
		return nil
	}
	return p.patchTenant(ctx, held)
}

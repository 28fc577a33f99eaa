// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// createSuper creates the super object. A name that is taken is looked at live:
// the cache may be late, or the object may be nobody's of ours.
func (p *pass) createSuper(ctx context.Context, desired client.Object) error {
	if err := p.confirmUnstarted(ctx); err != nil {
		return err
	}
	if err := p.reserve(ctx, desired); err != nil {
		return err
	}
	err := p.controller.engine.options.Super.GetClient().Create(ctx, desired)
	p.wroteSuper("create")
	p.reserved(ctx, desired, err)
	switch {
	case err == nil:
		p.super, p.created = desired, true
		p.controller.ended.forget(p.tenantKey())
		p.controller.queue.Started(p.request)
		p.controller.superWrites.created(overlayKey{p.tenantCluster.ID, p.superKey}, desired)
		return nil
	case apierrors.IsAlreadyExists(err):
		return p.explainTaken(ctx)
	case apierrors.IsInvalid(err) && p.controller.kind.Heal != nil:
		// An API server says of an address first that it is taken, and only then
		// that the object is there which holds it. Only what has addresses heals.
		if _, ours, readErr := p.adopt(ctx); readErr == nil && ours {
			return kind.Wait("the super cluster's cache")
		}
	}
	return p.explainSuper(err)
}

// adopt reads live what has the super object's name, or nil. If it is ours, it
// is the super object, although the cache does not show it yet.
func (p *pass) adopt(ctx context.Context) (live client.Object, ours bool, err error) {
	live, err = p.read(ctx, p.controller.engine.options.Super.GetAPIReader(), p.superKey)
	if err != nil {
		return nil, false, fmt.Errorf("reading what is in the way: %w", err)
	}
	if live == nil {
		return nil, false, nil
	}
	if _, ours = p.ownerOf(live); ours {
		p.controller.superWrites.created(overlayKey{p.tenantCluster.ID, p.superKey}, live)
	}
	return live, ours, nil
}

// explainTaken says why a name is taken in the super cluster.
func (p *pass) explainTaken(ctx context.Context) error {
	live, ours, err := p.adopt(ctx)
	switch {
	case err != nil:
		return err
	case live == nil:
		return kind.Wait("the super cluster")
	case ours:
		p.reserved(ctx, live, nil)
		return kind.Wait("the super cluster's cache")
	}
	p.unmeter()
	p.refusedBySuper = true
	return kind.Reject("metadata.name", "the super cluster keeps this name for itself; choose another name")
}

// explainSuper turns an error of the super cluster into what it means here.
func (p *pass) explainSuper(err error) error {
	if isNamespaceLate(err) {
		return kind.Wait("the namespace")
	}
	p.refusal = err
	if p.controller.kind.Explain != nil {
		if explained := p.controller.kind.Explain(p.tenant, err); explained != nil {
			p.refusedBySuper = true
			return explained
		}
	}
	if explained := explainSize(p.tenant, err); explained != nil {
		p.refusedBySuper = true
		return explained
	}
	return fmt.Errorf("writing the super object: %w", err)
}

// removeSuper deletes the super object, which carries this tenant's stamp. If
// that is because the tenant's object is gone or another one, it reads live
// first: a cache may show what was before the object that super stands for.
func (p *pass) removeSuper(ctx context.Context, grace *int64) error {
	if p.endAsked(grace) {
		return nil
	}
	if err := p.mayRemove(ctx); err != nil {
		return err
	}
	if p.tenant == nil || p.tenant.GetUID() != p.owner.UID {
		if err := p.confirmTenantGone(ctx); err != nil {
			return err
		}
	}
	uid := p.super.GetUID()
	options := []client.DeleteOption{client.Preconditions{UID: &uid}}
	if grace != nil {
		options = append(options, client.GracePeriodSeconds(*grace))
	}
	err := p.controller.engine.options.Super.GetClient().Delete(ctx, p.super, options...)
	p.wroteSuper("delete")
	key := overlayKey{p.tenantCluster.ID, p.superKey}
	p.controller.superWrites.forget(key)
	if err := ignoreGone(err); err != nil {
		return fmt.Errorf("deleting the super object: %w", err)
	}
	asked := p.controller.kind.New()
	asked.SetUID(uid)
	asked.SetDeletionGracePeriodSeconds(grace)
	p.controller.superDeletions.created(key, asked)
	return nil
}

// endAsked reports that the super object's end, at least as soon as this, has
// been asked for: it is terminating, or will be when the cache has caught up.
func (p *pass) endAsked(grace *int64) bool {
	soonEnough := func(o client.Object) bool {
		held := o.GetDeletionGracePeriodSeconds()
		return grace == nil || (held != nil && *held <= *grace)
	}
	if !p.super.GetDeletionTimestamp().IsZero() {
		return soonEnough(p.super)
	}
	asked := p.controller.superDeletions.latest(overlayKey{p.tenantCluster.ID, p.superKey}, nil)
	return asked != nil && asked.GetUID() == p.super.GetUID() && soonEnough(asked)
}

// patchTenant writes back what Up changed, status apart from the rest, and
// without a read: a patch carries the UID, so that it cannot hit a namesake.
func (p *pass) patchTenant(ctx context.Context, reported client.Object) error {
	if _, custom := reported.(*unstructured.Unstructured); custom {
		return p.patchTenantCustom(ctx, reported)
	}
	switch {
	case equal(p.tenant, reported):
		return nil
	case onlyStatusDiffers(p.tenant, reported):
		return p.updateStatus(ctx, reported)
	}
	// A strategic patch merges lists of status by key: a condition that the
	// tenant adds meanwhile survives. Elsewhere it is wrong (ports of a Service
	// are keyed by number alone), so the rest is a merge patch under a lock.
	status, err := patchParts(client.StrategicMergeFrom(p.tenant), reported)
	if err != nil {
		return err
	}
	rest, err := patchParts(client.MergeFrom(p.tenant), reported)
	if err != nil {
		return err
	}
	delete(rest, "status")
	if len(rest) > 0 {
		precondition := map[string]any{"uid": p.tenant.GetUID(), "resourceVersion": p.tenant.GetResourceVersion()}
		if err := p.sendTenantPatch(ctx, "patch", types.MergePatchType, rest, precondition); err != nil {
			return err
		}
	}
	if status["status"] == nil {
		return nil
	}
	return p.sendTenantPatch(ctx, "patch-status", types.StrategicMergePatchType,
		map[string]any{"status": status["status"]}, map[string]any{"uid": p.tenant.GetUID()})
}

// patchParts returns a patch by its top-level fields.
func patchParts(patch client.Patch, object client.Object) (map[string]any, error) {
	data, err := patch.Data(object)
	if err != nil {
		return nil, fmt.Errorf("making the tenant's patch: %w", err)
	}
	var parts map[string]any
	if err := json.Unmarshal(data, &parts); err != nil {
		return nil, fmt.Errorf("reading the tenant's patch: %w", err)
	}
	return parts, nil
}

func (p *pass) sendTenantPatch(ctx context.Context, verb string, patchType types.PatchType, parts map[string]any, precondition map[string]any) error {
	metadata, _ := parts["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	maps.Copy(metadata, precondition)
	parts["metadata"] = metadata
	data, err := json.Marshal(parts)
	if err != nil {
		return fmt.Errorf("encoding the tenant's patch: %w", err)
	}
	target := p.controller.kind.New()
	target.SetNamespace(p.request.Namespace)
	target.SetName(p.request.Name)
	if verb == "patch-status" {
		err = p.tenantCluster.client.Status().Patch(ctx, target, client.RawPatch(patchType, data))
	} else {
		err = p.tenantCluster.client.Patch(ctx, target, client.RawPatch(patchType, data))
	}
	p.wroteTenant(verb)
	return p.toldTenant(target, err)
}

func (p *pass) wroteSuper(verb string) {
	p.wrote = true
	p.controller.engine.metrics.wrote(p.controller.kind, "super", verb)
}

func (p *pass) wroteTenant(verb string) {
	p.wrote = true
	p.controller.engine.metrics.wrote(p.controller.kind, "tenant", verb)
}

// ignoreGone drops the errors of a deletion whose object is gone, or has been
// replaced by a namesake that the UID precondition protected.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

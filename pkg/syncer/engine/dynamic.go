// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// ErrNotServed is what a reader of a cluster returns, wrapped, that does not
// serve the kind: unlike "not found" it says nothing about an object.
var ErrNotServed = errors.New("the API server does not serve this kind")

// confirmTenantGone reads the tenant live: a cache that shows nothing may only
// be late. Of a kind that is gone with all its objects, those are gone whose
// deletion was seen.
func (p *pass) confirmTenantGone(ctx context.Context) error {
	live, err := p.read(ctx, p.tenantCluster.GetAPIReader(), p.request.NamespacedName)
	if errors.Is(err, ErrNotServed) && p.tenant == nil && p.controller.witness.has(p.request, p.owner.UID) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("confirming that the tenant's object is gone: %w", err)
	}
	if live != nil && live.GetUID() == p.owner.UID {
		return kind.Wait("the tenant's cache")
	}
	return nil
}

// Busy reports whether anything of a tenant is being worked on, or will be.
func (e *Engine) Busy(tenantID string) bool {
	for _, c := range e.controllers {
		if c.queue.holds(tenantID) {
			return true
		}
	}
	return false
}

// holds reports whether the queue has anything of a tenant.
func (q *fairQueue) holds(tenantID string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for r := range q.items {
		if r.Tenant == tenantID {
			return true
		}
	}
	return false
}

// Running is closed when the super cluster's caches are synced.
func (e *Engine) Running() <-chan struct{} { return e.running }

// WakeNamespace queues what a tenant has in a namespace: its super namespace is
// there. An engine that runs the kind Namespace does so by itself.
func (e *Engine) WakeNamespace(tenantID, tenantNamespace string) {
	if t := e.tenant(tenantID); t != nil {
		e.wakeNamespace(t, tenantNamespace)
	}
}

// patchTenantCustom is patchTenant for custom resources, which know no strategic
// patch, and of which not all have a status of their own.
func (p *pass) patchTenantCustom(ctx context.Context, reported client.Object) error {
	parts, err := patchParts(client.MergeFrom(p.tenant), reported)
	if err != nil {
		return err
	}
	status, hasStatus := parts["status"]
	delete(parts, "status")
	if len(parts) > 0 {
		precondition := map[string]any{"uid": p.tenant.GetUID(), "resourceVersion": p.tenant.GetResourceVersion()}
		if err := p.sendTenantPatch(ctx, "patch", types.MergePatchType, parts, precondition); err != nil {
			return err
		}
	}
	if !hasStatus {
		return nil
	}
	return p.patchStatusCustom(ctx, status)
}

// patchStatusCustom writes the status where the tenant's definition has it: as a
// subresource, or in the object itself. Which it is, only the answer tells.
func (p *pass) patchStatusCustom(ctx context.Context, status any) error {
	target := p.controller.kind.New()
	target.SetNamespace(p.request.Namespace)
	target.SetName(p.request.Name)
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.tenant.GetUID()}, "status": status})
	if err != nil {
		return fmt.Errorf("encoding the status: %w", err)
	}
	patch := client.RawPatch(types.MergePatchType, data)
	err = p.tenantCluster.client.Status().Patch(ctx, target, patch)
	p.wroteTenant("patch-status")
	if apierrors.IsNotFound(err) {
		err = p.tenantCluster.client.Patch(ctx, target, patch)
	}
	if apierrors.IsNotFound(err) {
		return nil // it is gone: its deletion has a pass of its own
	}
	if err != nil {
		return fmt.Errorf("reporting to the tenant: %w", err)
	}
	p.controller.tenantWrites.changed(overlayKey{p.tenantCluster.ID, p.request.NamespacedName}, target)
	return nil
}

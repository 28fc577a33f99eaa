// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// updateStatus writes the status of the tenant's object, and without a read: the
// version of the object that reported was made from is its lock, so that what
// the tenant writes meanwhile survives, and its UID keeps it from a namesake. One
// such write costs both sides a fraction of what a patch does, which is compared
// on one and merged on the other by way of JSON.
func (p *pass) updateStatus(ctx context.Context, reported client.Object) error {
	err := p.tenantCluster.client.Status().Update(ctx, reported) //nolint:forbidigo // its version is the lock.
	p.wroteTenant("update-status")
	return p.toldTenant(reported, err)
}

// toldTenant ends a write that reported to the tenant: answer is what its API server
// returned, or err why it did not.
func (p *pass) toldTenant(answer client.Object, err error) error {
	if apierrors.IsNotFound(err) {
		return nil // it is gone: its deletion has a pass of its own
	}
	p.reported = err == nil
	if err != nil {
		return fmt.Errorf("reporting to the tenant: %w", err)
	}
	p.controller.tenantWrites.changed(overlayKey{p.tenantCluster.ID, p.request.NamespacedName}, answer)
	return nil
}

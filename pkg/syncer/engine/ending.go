// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// superOnlyEnds reports a change of the super object of something that runs once
// by which nothing but its end comes nearer, an end that the tenant has asked
// for: there is nothing to pass on, in either direction, until it is gone.
func (c *controller) superOnlyEnds(before, now client.Object) bool {
	if c.kind.Lifecycle != kind.Process || now.GetDeletionTimestamp().IsZero() {
		return false
	}
	owner, stamped := identity.Of(now)
	r := request{Tenant: owner.TenantID, NamespacedName: types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}}
	if !stamped || !c.witness.has(r, owner.UID) {
		return false
	}
	same := before.DeepCopyObject().(client.Object)
	same.SetResourceVersion(now.GetResourceVersion())
	same.SetGeneration(now.GetGeneration())
	same.SetDeletionTimestamp(now.GetDeletionTimestamp())
	same.SetDeletionGracePeriodSeconds(now.GetDeletionGracePeriodSeconds())
	if !sameEncoding(same, now) {
		return false
	}
	c.superShown.add(now.GetResourceVersion())
	return true
}

// asked reports a tenant's object that is still there, although the engine has
// just asked for its end at once: it is between its mark and its removal.
func (c *controller) asked(t *tenant, object client.Object) bool {
	if c.kind.Lifecycle != kind.Process || object.GetDeletionTimestamp().IsZero() {
		return false
	}
	return c.tenantDeletions.holds(overlayKey{t.ID, client.ObjectKeyFromObject(object)}, object.GetUID())
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// binding reports whether the tenant's object was bound and its cache does not
// show it yet.
func (p *pass) binding() bool {
	if p.controller.kind.Placement == nil || p.controller.kind.Bound(p.tenant) {
		return false
	}
	return p.controller.bindings.holds(p.tenantKey(), p.tenant.GetUID())
}

// bind tells the tenant where its object runs, once the super object is placed.
func (p *pass) bind(ctx context.Context) error {
	k := p.controller.kind
	if k.Placement == nil {
		return nil
	}
	key := p.tenantKey()
	if k.Bound(p.tenant) {
		p.controller.bindings.forget(key)
		return nil
	}
	node := k.Placement(p.super, p.tenant)
	if node == "" {
		return nil
	}
	// The answer to a binding does not show the object: what was bound is
	// remembered, or a pass before the cache is there would do it again.
	if p.binding() {
		return nil
	}
	binding := &corev1.Binding{
		// The UID makes the API server refuse a namesake of the object.
		ObjectMeta: metav1.ObjectMeta{
			Namespace: p.request.Namespace, Name: p.request.Name, UID: p.tenant.GetUID(),
			Annotations: map[string]string{tenancyv1alpha1.AnnotationBound: string(p.tenant.GetUID())},
		},
		Target: corev1.ObjectReference{Kind: "Node", Name: node},
	}
	err := p.tenantCluster.client.SubResource("binding").Create(ctx, p.tenant, binding)
	p.wroteTenant("bind")
	// Gone, or bound already and the cache is late: another event follows.
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return toTenant("binding the tenant's object", err)
	}
	if err == nil {
		bound := k.New()
		bound.SetUID(p.tenant.GetUID())
		p.controller.bindings.created(key, bound)
	}
	return nil
}

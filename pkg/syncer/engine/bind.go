// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// bind tells the tenant where its object runs, once the super object is placed.
func (p *pass) bind(ctx context.Context) error {
	k := p.controller.kind
	if k.Placement == nil || k.Bound(p.tenant) {
		return nil
	}
	node := k.Placement(p.super, p.tenant)
	if node == "" {
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
		return fmt.Errorf("binding the tenant's object: %w", err)
	}
	return nil
}

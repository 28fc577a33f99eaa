// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"

	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// choosePriority gives the pod its PriorityClass if that is one of the super
// cluster's which the tenant's class shares. Any other is the tenant's own,
// under whatever name and label, and means nothing between tenants: the super
// pod gets the super cluster's default, as all tenants' pods do. What the tenant
// holds under the name is not asked, only what came of it: a class of the
// tenant's own that hides the shared one gives its pods another number.
func choosePriority(ctx context.Context, b *build) error {
	spec := &b.tenant.Spec
	if spec.PriorityClassName == "" {
		return nil
	}
	var shared schedulingv1.PriorityClass
	err := b.env.Super.Get(ctx, client.ObjectKey{Name: spec.PriorityClassName}, &shared)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("reading the shared priority class: %w", err)
	case spec.Priority == nil || *spec.Priority != shared.Value:
		return nil
	}
	b.spec.PriorityClassName = shared.Name
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch;create;patch;delete

// ensureNamespace makes the namespace of the control plane.
func (r *Reconciler) ensureNamespace(ctx context.Context, s *scope) error {
	return r.apply(ctx, s.spec.Namespace(), &corev1.Namespace{})
}

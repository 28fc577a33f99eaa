// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kinds/pod"
)

// configMap copies the ConfigMaps that pods refer to. kube-root-ca.crt goes
// down under another name: the super cluster publishes its own under that one.
func configMap() kind.Downward[*corev1.ConfigMap] {
	return kind.Downward[*corev1.ConfigMap]{
		Object: &corev1.ConfigMap{},
		SuperKey: func(tenant names.Tenant, key types.NamespacedName) types.NamespacedName {
			return types.NamespacedName{Namespace: tenant.Namespace(key.Namespace), Name: names.ConfigMap(key.Name)}
		},
		References: []kind.References{{From: &corev1.Pod{}, Names: pod.ConfigMaps}},
		Down: func(_ context.Context, _ kind.Env, tenant, super *corev1.ConfigMap) error {
			super.Data, super.BinaryData, super.Immutable = tenant.Data, tenant.BinaryData, tenant.Immutable
			return nil
		},
	}
}

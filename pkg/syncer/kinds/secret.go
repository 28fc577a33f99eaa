// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kinds/pod"
)

// secret copies the Secrets that pods and Ingresses refer to.
func secret() kind.Downward[*corev1.Secret] {
	return kind.Downward[*corev1.Secret]{
		Object:     &corev1.Secret{},
		References: []kind.References{{From: &corev1.Pod{}, Names: pod.Secrets}, {From: &networkingv1.Ingress{}, Names: ingressSecrets}},
		Down: func(_ context.Context, _ kind.Env, tenant, super *corev1.Secret) error {
			super.Data, super.Immutable = tenant.Data, tenant.Immutable
			if super.Type == "" {
				super.Type = superSecretType(tenant.Type)
			}
			return nil
		},
	}
}

// superSecretType keeps the types that kubelets read and makes everything else
// Opaque. Above all a service account token: the super cluster's controllers
// would fill such a Secret with a token of the super cluster.
func superSecretType(tenant corev1.SecretType) corev1.SecretType {
	switch tenant {
	case corev1.SecretTypeDockercfg, corev1.SecretTypeDockerConfigJson, corev1.SecretTypeTLS,
		corev1.SecretTypeBasicAuth, corev1.SecretTypeSSHAuth:
		return tenant
	default:
		return corev1.SecretTypeOpaque
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// podSecurityEnforce is the label by which the super cluster's own admission
// holds what a namespace's pods may ask for, whatever the syncer let pass.
const podSecurityEnforce = "pod-security.kubernetes.io/enforce"

// namespace gives each tenant namespace a super namespace of its own. Nothing
// that the tenant says about it crosses: what a super cluster selects by the
// labels of its namespaces, network policies, exemptions from admission,
// side-car injection, default tolerations, is a matter of trust.
func namespace() kind.Downward[*corev1.Namespace] {
	return kind.Downward[*corev1.Namespace]{
		Object:       &corev1.Namespace{},
		HideMetadata: true,
		UsesFacts:    true,
		SuperKey: func(tenant names.Tenant, key types.NamespacedName) types.NamespacedName {
			return types.NamespacedName{Name: tenant.Namespace(key.Name)}
		},
		Down: func(_ context.Context, env kind.Env, _, super *corev1.Namespace) error {
			if super.Labels == nil {
				super.Labels = map[string]string{}
			}
			super.Labels[podSecurityEnforce] = string(podSecurity(env.Facts.PodSecurity))
			return nil
		},
	}
}

// podSecurity returns the class's level, and nothing laxer than baseline
// whatever that may say.
func podSecurity(level tenancyv1alpha1.PodSecurityLevel) tenancyv1alpha1.PodSecurityLevel {
	if level == tenancyv1alpha1.PodSecurityRestricted {
		return level
	}
	return tenancyv1alpha1.PodSecurityBaseline
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	networkingv1 "k8s.io/api/networking/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// sharedController stands for the controller of a class that the super cluster
// serves: one that the tenant runs itself must not serve the same Ingresses.
const sharedController = tenancyv1alpha1.SharedDriver + "/shared"

// ingressClass shows a tenant the classes that its Ingresses may name.
func ingressClass() kind.Upward[*networkingv1.IngressClass] {
	return kind.Upward[*networkingv1.IngressClass]{
		Object: &networkingv1.IngressClass{},
		Visible: func(facts kind.Facts, super *networkingv1.IngressClass) bool {
			return policy.Shares(facts.Sharing.IngressClasses, super.Labels)
		},
		Up: func(_ kind.Env, super *networkingv1.IngressClass, _ kind.Subject, tenant *networkingv1.IngressClass) error {
			tenant.Spec = networkingv1.IngressClassSpec{Controller: sharedController}
			tenant.Annotations = showKey(tenant.Annotations, super.Annotations, networkingv1.AnnotationIsDefaultIngressClass)
			return nil
		},
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"

	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// podDisruptionBudget holds the super cluster's evictions, such as those of a
// drain, to the tenant's budget. How many pods that is, the tenant's own
// controller has computed: it knows the workloads behind percentages and
// maxUnavailable, which the super cluster does not.
func podDisruptionBudget() kind.Downward[*policyv1.PodDisruptionBudget] {
	return kind.Downward[*policyv1.PodDisruptionBudget]{
		Object:       &policyv1.PodDisruptionBudget{},
		HideMetadata: true,
		Down: func(_ context.Context, _ kind.Env, tenant, super *policyv1.PodDisruptionBudget) error {
			if err := checkPodSelector("spec.selector", tenant.Spec.Selector); err != nil {
				return err
			}
			if tenant.Status.ObservedGeneration < tenant.Generation {
				return kind.Wait("the disruption controller to count the pods")
			}
			super.Spec.MinAvailable, super.Spec.MaxUnavailable = ptr.To(intstr.FromInt32(tenant.Status.DesiredHealthy)), nil
			super.Spec.Selector = tenant.Spec.Selector
			super.Spec.UnhealthyPodEvictionPolicy = tenant.Spec.UnhealthyPodEvictionPolicy
			return nil
		},
	}
}

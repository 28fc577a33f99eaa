// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) PodDisruptionBudget() kindtest.Sample {
	return kindtest.Sample{Tenant: sampleBudget()}
}

func sampleBudget() *policyv1.PodDisruptionBudget {
	budget := &policyv1.PodDisruptionBudget{ObjectMeta: meta("shop", "web"), Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: ptr.To(intstr.FromString("25%")), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		UnhealthyPodEvictionPolicy: ptr.To(policyv1.AlwaysAllow),
	}}
	budget.Generation, budget.Status.ObservedGeneration, budget.Status.DesiredHealthy = 2, 2, 6
	return budget
}

// TestBudgetIsTheOneThatTheTenantComputed: 25 % of pods that the super cluster
// knows no controller of.
func TestBudgetIsTheOneThatTheTenantComputed(t *testing.T) {
	tenant, super := sampleBudget(), &policyv1.PodDisruptionBudget{}
	super.Spec.MaxUnavailable = ptr.To(intstr.FromInt32(1)) // drift
	if err := podDisruptionBudget().Down(t.Context(), kindtest.Env(nil, nil), tenant, super); err != nil {
		t.Fatal(err)
	}
	if super.Spec.MaxUnavailable != nil || super.Spec.MinAvailable.IntValue() != 6 || *super.Spec.UnhealthyPodEvictionPolicy != policyv1.AlwaysAllow {
		t.Errorf("the super budget is %+v", super.Spec)
	}
	tenant.Generation = 3
	if err := podDisruptionBudget().Down(t.Context(), kindtest.Env(nil, nil), tenant, super); !kind.IsWait(err) {
		t.Errorf("a budget that is not counted yet: %v", err)
	}
}

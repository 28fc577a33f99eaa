// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/event"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// TestTenantChanged: what the node shows is followed, what changes all the time is not.
func TestTenantChanged(t *testing.T) {
	cases := map[string]struct {
		change func(*tenancyv1alpha1.VirtualCluster)
		want   bool
	}{
		"nothing": {func(*tenancyv1alpha1.VirtualCluster) {}, false},
		// The condition tells which generation it is of.
		"the spec":           {func(vc *tenancyv1alpha1.VirtualCluster) { vc.Generation++ }, true},
		"the number of pods": {func(vc *tenancyv1alpha1.VirtualCluster) { vc.Status.Pods = new(int32(3)) }, false},
		"the quota": {func(vc *tenancyv1alpha1.VirtualCluster) {
			vc.Status.Quota = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}
		}, true},
		"the quota, in other words": {func(vc *tenancyv1alpha1.VirtualCluster) {
			vc.Status.Quota = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1000m")}
		}, false},
	}
	for name, tc := range cases {
		before := &tenancyv1alpha1.VirtualCluster{Status: tenancyv1alpha1.VirtualClusterStatus{
			Quota: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
		}}
		after := before.DeepCopy()
		tc.change(after)
		if got := tenantChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

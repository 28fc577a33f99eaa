// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func TestClassFault(t *testing.T) {
	cpu := func(quantity string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(quantity)}
	}
	type spec = tenancyv1alpha1.VirtualClusterClassSpec
	cases := map[string]struct {
		change func(*spec)
		want   string
	}{
		"good":                {func(*spec) {}, ""},
		"the cluster's range": {func(s *spec) { s.Network.ServiceCIDR = "10.96.0.0/20" }, "overlaps 10.96.0.0/16"},
		"around it":           {func(s *spec) { s.Network.ServiceCIDR = "10.0.0.0/8" }, "overlaps 10.96.0.0/16"},
		"request above limit": {func(s *spec) {
			s.ControlPlane.Resources = corev1.ResourceRequirements{Requests: cpu("2"), Limits: cpu("1")}
		}, "more than its limit"},
		"negative size":     {func(s *spec) { s.ControlPlane.Storage.Size = resource.MustParse("-1Gi") }, "negative"},
		"default above max": {func(s *spec) { s.Quota = tenancyv1alpha1.ClassQuota{Default: cpu("2"), Max: cpu("1")} }, "spec.quota.default"},
		"label of a node": {func(s *spec) {
			s.Node.Labels = map[string]string{"example.com/pool": "a", "node.kubernetes.io/x": "b", "zone": "c"}
		}, ""},
		"label of another's":      {func(s *spec) { s.Node.Labels = map[string]string{"node-role.kubernetes.io/x": ""} }, "NodeRestriction"},
		"label of the platform":   {func(s *spec) { s.Node.Labels = map[string]string{"kubernetes.io/hostname": "x"} }, "NodeRestriction"},
		"label that is none":      {func(s *spec) { s.Node.Labels = map[string]string{"a b": "x"} }, "spec.node.labels"},
		"taint without effect":    {func(s *spec) { s.Node.Taints = []corev1.Taint{{Key: "a"}} }, "effect"},
		"taint":                   {func(s *spec) { s.Node.Taints = []corev1.Taint{{Key: "a", Effect: corev1.TaintEffectNoSchedule}} }, ""},
		"taint that is not legal": {func(s *spec) { s.Node.Taints = []corev1.Taint{{Key: "a/b/c", Effect: corev1.TaintEffectNoSchedule}} }, "spec.node.taints[0]"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			class := &tenancyv1alpha1.VirtualClusterClass{Spec: spec{
				Versions: []tenancyv1alpha1.ClassVersion{{Name: "v1.36.2", Image: "a"}, {Name: "v1.37.1", Image: "b", Default: true}},
				Network:  tenancyv1alpha1.ClassNetwork{ServiceCIDR: "10.112.0.0/12", ServiceSliceBits: 22},
			}}
			tc.change(&class.Spec)
			got := classFault(class, []string{"10.96.0.0/16", "2001:db8::/108"})
			if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("classFault = %q, want %q", got, tc.want)
			}
		})
	}
}

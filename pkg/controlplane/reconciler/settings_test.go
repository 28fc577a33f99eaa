// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func TestEffectiveControlPlane(t *testing.T) {
	class := &tenancyv1alpha1.VirtualClusterClass{}
	class.Name = "small"
	class.Spec.ControlPlane = tenancyv1alpha1.ClassControlPlane{
		Replicas: 1,
		Storage:  tenancyv1alpha1.ClassStorage{StorageClassName: "slow", Size: resource.MustParse("2Gi")},
		Exposure: tenancyv1alpha1.ClassExposure{
			Type:    tenancyv1alpha1.ExposeClusterIP,
			Allowed: []tenancyv1alpha1.ExposureType{tenancyv1alpha1.ExposeClusterIP, tenancyv1alpha1.ExposeNodePort},
		},
	}
	changed := func(change func(*tenancyv1alpha1.ClassControlPlane)) tenancyv1alpha1.ClassControlPlane {
		out := *class.Spec.ControlPlane.DeepCopy()
		change(&out)
		return out
	}
	memory := corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("3Gi")}}
	for name, tc := range map[string]struct {
		own     *tenancyv1alpha1.VirtualClusterControlPlane
		want    tenancyv1alpha1.ClassControlPlane
		wantErr string
	}{
		"nothing":   {want: class.Spec.ControlPlane},
		"empty":     {own: &tenancyv1alpha1.VirtualClusterControlPlane{}, want: class.Spec.ControlPlane},
		"replicas":  {own: &tenancyv1alpha1.VirtualClusterControlPlane{Replicas: ptr.To[int32](3)}, want: changed(func(c *tenancyv1alpha1.ClassControlPlane) { c.Replicas = 3 })},
		"resources": {own: &tenancyv1alpha1.VirtualClusterControlPlane{Resources: &memory}, want: changed(func(c *tenancyv1alpha1.ClassControlPlane) { c.Resources = memory })},
		"storage class": {
			own:  &tenancyv1alpha1.VirtualClusterControlPlane{Storage: &tenancyv1alpha1.VirtualClusterStorage{StorageClassName: "fast"}},
			want: changed(func(c *tenancyv1alpha1.ClassControlPlane) { c.Storage.StorageClassName = "fast" }),
		},
		"storage size": {
			own:  &tenancyv1alpha1.VirtualClusterControlPlane{Storage: &tenancyv1alpha1.VirtualClusterStorage{Size: ptr.To(resource.MustParse("9Gi"))}},
			want: changed(func(c *tenancyv1alpha1.ClassControlPlane) { c.Storage.Size = resource.MustParse("9Gi") }),
		},
		"an allowed exposure": {
			own:  &tenancyv1alpha1.VirtualClusterControlPlane{Expose: &tenancyv1alpha1.VirtualClusterExposure{Type: tenancyv1alpha1.ExposeNodePort}},
			want: changed(func(c *tenancyv1alpha1.ClassControlPlane) { c.Exposure.Type = tenancyv1alpha1.ExposeNodePort }),
		},
		"another exposure": {
			own:     &tenancyv1alpha1.VirtualClusterControlPlane{Expose: &tenancyv1alpha1.VirtualClusterExposure{Type: tenancyv1alpha1.ExposeLoadBalancer}},
			wantErr: `class "small" does not allow "LoadBalancer": set one of ClusterIP, NodePort`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := effectiveControlPlane(class, tc.own)
			if tc.wantErr != "" {
				wantBlocked(t, err, tenancyv1alpha1.ReasonExposureNotAllowed, tc.wantErr)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestEffectiveQuota(t *testing.T) {
	list := func(cpu, memory string) corev1.ResourceList {
		out := corev1.ResourceList{}
		for name, value := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
			if value != "" {
				out[name] = resource.MustParse(value)
			}
		}
		return out
	}
	class := &tenancyv1alpha1.VirtualClusterClass{}
	class.Spec.Quota = tenancyv1alpha1.ClassQuota{Default: list("", "4Gi"), Max: list("8", "")}
	for name, tc := range map[string]struct {
		own, want corev1.ResourceList
		wantErr   string
	}{
		"the default, and the most of what it lacks": {want: list("8", "4Gi")},
		"less":                    {own: list("1", "64Gi"), want: list("1", "64Gi")},
		"as much as there may be": {own: list("8", ""), want: list("8", "4Gi")},
		"one of two":              {own: list("", "1Gi"), want: list("8", "1Gi")},
		"more":                    {own: list("9", "1Gi"), want: list("8", "1Gi"), wantErr: "cpu 9 (at most 8)"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := effectiveQuota(class, tc.own)
			if tc.wantErr != "" {
				wantBlocked(t, err, tenancyv1alpha1.ReasonQuotaExceedsMaximum, tc.wantErr)
			} else if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestNoQuota: nothing is bounded where nobody names a bound.
func TestNoQuota(t *testing.T) {
	got, err := effectiveQuota(&tenancyv1alpha1.VirtualClusterClass{}, nil)
	if err != nil || got != nil {
		t.Errorf("got %v, %v; want none", got, err)
	}
}

// wantBlocked fails unless err blocks for the reason, with a message that holds part.
func wantBlocked(t *testing.T, err error, reason, part string) {
	t.Helper()
	var wait *blocked
	if !errors.As(err, &wait) || wait.reason != reason || !strings.Contains(wait.message, part) {
		t.Errorf("got error %v, want reason %s with %q", err, reason, part)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) StorageClass() kindtest.Sample {
	return kindtest.Sample{
		Super: &storagev1.StorageClass{
			ObjectMeta:  sharedMeta("fast", map[string]string{defaultStorageClass: "true", "super-note": "x"}),
			Provisioner: "super-driver", Parameters: map[string]string{"secret": "super-secret"}, MountOptions: []string{"super-option"},
			AllowedTopologies: []corev1.TopologySelectorTerm{{MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: "super-zone", Values: []string{"a"}}}}},
			ReclaimPolicy:     ptr.To(corev1.PersistentVolumeReclaimDelete), AllowVolumeExpansion: ptr.To(true),
		},
		Secrets: []string{"super-"},
	}
}

func (samples) PriorityClass() kindtest.Sample {
	return kindtest.Sample{
		Super:   &schedulingv1.PriorityClass{ObjectMeta: sharedMeta("high", map[string]string{"super-note": "x"}), Value: 7, GlobalDefault: true},
		Secrets: []string{"super-", `"globalDefault":true`},
	}
}

func (samples) RuntimeClass() kindtest.Sample {
	return kindtest.Sample{
		Super: &nodev1.RuntimeClass{
			ObjectMeta: sharedMeta("gvisor", nil), Handler: "super-runsc",
			Overhead:   &nodev1.Overhead{PodFixed: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("20Mi")}},
			Scheduling: &nodev1.Scheduling{NodeSelector: map[string]string{"super-pool": "a"}},
		},
		Secrets: []string{"super-"},
	}
}

func (samples) IngressClass() kindtest.Sample {
	return kindtest.Sample{
		Super: &networkingv1.IngressClass{
			ObjectMeta: sharedMeta("web", map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true", "super-note": "x"}),
			Spec: networkingv1.IngressClassSpec{
				Controller: "super.example/controller", Parameters: &networkingv1.IngressClassParametersReference{Kind: "X", Name: "super-parameters"},
			},
		},
		Secrets: []string{"super"},
	}
}

// TestClassesFollowTheSuperCluster: what the platform changes, and what a tenant
// changes in its copy, ends as the platform has it.
func TestClassesFollowTheSuperCluster(t *testing.T) {
	super := samples{}.StorageClass().Super.(*storagev1.StorageClass)
	tenant := &storagev1.StorageClass{}
	env := kindtest.Env(nil, nil)
	show := func() {
		t.Helper()
		if err := storageClass().Up(env, super, kind.Subject{}, tenant); err != nil {
			t.Fatal(err)
		}
	}
	show()
	if tenant.Annotations[defaultStorageClass] != "true" || !*tenant.AllowVolumeExpansion {
		t.Errorf("the tenant sees %+v", tenant)
	}
	super.Annotations = nil
	tenant.AllowVolumeExpansion, tenant.Parameters = nil, map[string]string{"own": "x"}
	show()
	if _, ok := tenant.Annotations[defaultStorageClass]; ok || !*tenant.AllowVolumeExpansion || tenant.Parameters != nil {
		t.Errorf("the tenant sees %+v", tenant)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) PersistentVolumeClaim() kindtest.Sample {
	return kindtest.Sample{
		Tenant:      sampleClaim(),
		SuperReader: readerOf(&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "fast"}}),
	}
}

func sampleClaim() *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{ObjectMeta: meta("shop", "data"), Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes:      []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		Resources:        corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}},
		StorageClassName: ptr.To("fast"), VolumeMode: ptr.To(corev1.PersistentVolumeFilesystem),
		DataSource:    &corev1.TypedLocalObjectReference{Kind: "PersistentVolumeClaim", Name: "other"},
		DataSourceRef: &corev1.TypedObjectReference{Kind: "PersistentVolumeClaim", Name: "other"},
	}}
}

// TestClaimsThatCouldReachAnothersVolume: a claim names no volume, no way to one,
// and no class but a shared one.
func TestClaimsThatCouldReachAnothersVolume(t *testing.T) {
	group := "populators.example.com"
	cases := map[string]struct {
		change func(*corev1.PersistentVolumeClaim)
		super  corev1.PersistentVolumeClaim
		field  string
	}{
		"a plain claim":           {change: func(*corev1.PersistentVolumeClaim) {}},
		"a volume by name":        {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv-of-another" }, field: "spec.volumeName"},
		"a volume by name, later": {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv-of-another" }, super: boundClaim("pv-1"), field: "spec.volumeName"},
		"the volume it has":       {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeName = "pv-1" }, super: boundClaim("pv-1")},
		"a volume by labels": {change: func(c *corev1.PersistentVolumeClaim) {
			c.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		}, field: "spec.selector"},
		"no class at all":            {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = ptr.To("") }, field: "spec.storageClassName"},
		"no class named":             {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = nil }, field: "spec.storageClassName"},
		"a class that is not shared": {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = ptr.To("platform-gold") }, field: "spec.storageClassName"},
		"a class shared no more":     {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.StorageClassName = ptr.To("platform-gold") }, super: boundClaim("")},
		"a raw device":               {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeMode = ptr.To(corev1.PersistentVolumeBlock) }, field: "spec.volumeMode"},
		"a volume attributes class":  {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.VolumeAttributesClassName = &group }, field: "spec.volumeAttributesClassName"},
		"a populator":                {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.DataSourceRef.APIGroup = &group }, field: "spec.dataSourceRef"},
		"another populator":          {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.DataSource.Kind = "Disk" }, field: "spec.dataSource"},
		"a source of a neighbour":    {change: func(c *corev1.PersistentVolumeClaim) { c.Spec.DataSourceRef.Namespace = ptr.To("other") }, field: "spec.dataSourceRef.namespace"},
		"a snapshot": {change: func(c *corev1.PersistentVolumeClaim) {
			c.Spec.DataSource = &corev1.TypedLocalObjectReference{APIGroup: ptr.To("snapshot.storage.k8s.io"), Kind: "VolumeSnapshot", Name: "s"}
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			env := kindtest.Env(nil, nil)
			env.Super = samples{}.PersistentVolumeClaim().SuperReader
			tenant, super := sampleClaim(), tc.super.DeepCopy()
			tc.change(tenant)
			err := persistentVolumeClaim().Down(t.Context(), env, tenant, super)
			switch reject := kind.AsReject(err); {
			case tc.field == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.field != "" && (reject == nil || reject.Field != tc.field || reject.Remedy == ""):
				t.Errorf("error %v, want %s refused", err, tc.field)
			case tc.super.Spec.VolumeName != super.Spec.VolumeName:
				t.Errorf("the super claim asks for volume %q", super.Spec.VolumeName)
			}
		})
	}
}

// boundClaim is a super claim that has a volume.
func boundClaim(volume string) corev1.PersistentVolumeClaim {
	return corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{UID: "super"},
		Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: volume, StorageClassName: ptr.To("fast")},
		Status:     corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
	}
}

func TestClaimGrows(t *testing.T) {
	super, tenant := boundClaim("pv-1"), sampleClaim()
	tenant.Spec.Resources.Requests[corev1.ResourceStorage] = resource.MustParse("2Gi")
	tenant.Spec.AccessModes = nil
	before := super.DeepCopy()
	if err := persistentVolumeClaim().Down(t.Context(), kindtest.Env(nil, nil), tenant, &super); err != nil {
		t.Fatal(err)
	}
	before.Spec.Resources.Requests = tenant.Spec.Resources.Requests
	if diff := cmp.Diff(before, &super); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClaimUp(t *testing.T) {
	super, tenant := boundClaim("pv-1"), sampleClaim()
	super.Status.Capacity = corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}
	super.Status.Conditions = []corev1.PersistentVolumeClaimCondition{
		{Type: corev1.PersistentVolumeClaimResizing, Message: "waiting"}, {Type: corev1.PersistentVolumeClaimControllerResizeError, Message: "dial super-server"},
	}
	super.Status.CurrentVolumeAttributesClassName = ptr.To("super-class")
	if err := claimUp(t.Context(), kindtest.Env(nil, nil), &super, tenant); err != nil {
		t.Fatal(err)
	}
	if tenant.Spec.VolumeName != "pv-1" || tenant.Annotations[bindCompleted] != "yes" || tenant.Annotations[boundByController] != "yes" {
		t.Errorf("the tenant's claim is %+v", tenant)
	}
	want := *super.Status.DeepCopy()
	want.CurrentVolumeAttributesClassName = nil
	want.Conditions[1].Message = "the platform's storage reports an error"
	if diff := cmp.Diff(want, tenant.Status); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) PersistentVolume() kindtest.Sample {
	return kindtest.Sample{
		Super: &corev1.PersistentVolume{
			ObjectMeta: sharedMeta("pvc-1", map[string]string{"pv.kubernetes.io/provisioned-by": "super-driver"}),
			Spec: corev1.PersistentVolumeSpec{
				Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
				AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
				PersistentVolumeSource: corev1.PersistentVolumeSource{NFS: &corev1.NFSVolumeSource{Server: "super-server", Path: "/super-path"}},
				ClaimRef:               &corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: "vc-demo-shop-x", Name: "data", UID: "super-claim", ResourceVersion: "7"},
				MountOptions:           []string{"super-option"}, StorageClassName: "fast",
				NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
					MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "super-zone", Operator: corev1.NodeSelectorOpExists}},
				}}}},
			},
			Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound, Message: "super-server said so", Reason: "super-reason"},
		},
		Subject: kind.Subject{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "data"}, UID: "claim", Super: types.NamespacedName{Namespace: "vc-demo-shop-x", Name: "data"}},
		Secrets: []string{"super-", "vc-demo-shop-x"},
	}
}

// TestAReleasedVolumeRemembersItsClaim: without its UID another claim of that
// name would seem to be the volume's.
func TestAReleasedVolumeRemembersItsClaim(t *testing.T) {
	super := samples{}.PersistentVolume().Super.(*corev1.PersistentVolume)
	tenant := &corev1.PersistentVolume{}
	owner := samples{}.PersistentVolume().Subject
	if err := volumeUp(kindtest.Env(nil, nil), super, owner, tenant); err != nil {
		t.Fatal(err)
	}
	super.Status.Phase, owner.UID, owner.Object = corev1.VolumeReleased, "", nil
	if err := volumeUp(kindtest.Env(nil, nil), super, owner, tenant); err != nil {
		t.Fatal(err)
	}
	if tenant.Spec.ClaimRef.UID != "claim" || tenant.Status.Phase != corev1.VolumeReleased {
		t.Errorf("the tenant sees %+v, %s", tenant.Spec.ClaimRef, tenant.Status.Phase)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// persistentVolume shows a tenant the volumes of its claims: how large they are
// and how they fare, and not what they are made of.
func persistentVolume() kind.Upward[*corev1.PersistentVolume] {
	return kind.Upward[*corev1.PersistentVolume]{
		Object: &corev1.PersistentVolume{},
		Mirror: true,
		About: func(super *corev1.PersistentVolume) (client.Object, types.NamespacedName, types.UID) {
			claim := super.Spec.ClaimRef
			if claim == nil {
				return &corev1.PersistentVolumeClaim{}, types.NamespacedName{}, ""
			}
			return &corev1.PersistentVolumeClaim{}, types.NamespacedName{Namespace: claim.Namespace, Name: claim.Name}, claim.UID
		},
		// A volume that is nobody's yet has no UID of a claim.
		Visible: func(_ kind.Facts, super *corev1.PersistentVolume) bool {
			return super.Spec.ClaimRef != nil && super.Spec.ClaimRef.UID != ""
		},
		Up: volumeUp,
	}
}

func volumeUp(_ kind.Env, super *corev1.PersistentVolume, owner kind.Subject, tenant *corev1.PersistentVolume) error {
	uid := owner.UID
	if uid == "" && tenant.Spec.ClaimRef != nil {
		uid = tenant.Spec.ClaimRef.UID // the claim is gone, and the volume remembers it
	}
	spec := super.Spec.DeepCopy()
	tenant.Spec = corev1.PersistentVolumeSpec{
		Capacity: spec.Capacity, AccessModes: spec.AccessModes, VolumeMode: spec.VolumeMode,
		StorageClassName: spec.StorageClassName, PersistentVolumeReclaimPolicy: spec.PersistentVolumeReclaimPolicy,
		PersistentVolumeSource: corev1.PersistentVolumeSource{
			CSI: &corev1.CSIPersistentVolumeSource{Driver: tenancyv1alpha1.SharedDriver, VolumeHandle: super.Name},
		},
		ClaimRef: &corev1.ObjectReference{
			APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: owner.Namespace, Name: owner.Name, UID: uid,
		},
	}
	tenant.Status = corev1.PersistentVolumeStatus{
		Phase: super.Status.Phase, LastPhaseTransitionTime: super.Status.LastPhaseTransitionTime.DeepCopy(),
	}
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
)

// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch

// ensureStatefulSet makes the control plane itself.
func (r *Reconciler) ensureStatefulSet(ctx context.Context, s *scope) error {
	desired := s.spec.StatefulSet(s.pkiHash)
	existing := &appsv1.StatefulSet{}
	found, err := getOwned(ctx, r.Client, r.APIReader, desired, existing)
	if err != nil {
		return err
	}
	if found {
		keepVolume(desired, existing)
	}
	s.statefulSet = &appsv1.StatefulSet{}
	return r.apply(ctx, desired, s.statefulSet)
}

// keepVolume leaves the volume claim as it is: it cannot be changed, so a
// class that changes its storage is for new virtual clusters.
func keepVolume(desired, existing *appsv1.StatefulSet) {
	for i := range desired.Spec.VolumeClaimTemplates {
		if i >= len(existing.Spec.VolumeClaimTemplates) {
			return
		}
		kept := &existing.Spec.VolumeClaimTemplates[i].Spec
		desired.Spec.VolumeClaimTemplates[i].Spec.Resources = kept.Resources
		desired.Spec.VolumeClaimTemplates[i].Spec.StorageClassName = kept.StorageClassName
	}
}

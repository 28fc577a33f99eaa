// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const snapshotGroup = "snapshot.storage.k8s.io"

// volumeSnapshot takes snapshots of the tenant's own claims. A snapshot of a
// content that exists is refused: contents are the super cluster's, and every
// tenant's. Of the status the content's name stays unsaid.
func volumeSnapshot() preset {
	return preset{
		rule: tenancyv1alpha1.CustomResourceRule{
			Group: snapshotGroup, Version: "v1", Kind: "VolumeSnapshot", Direction: tenancyv1alpha1.DirectionDown,
			Copy: []tenancyv1alpha1.FieldPath{".spec.source.persistentVolumeClaimName", ".spec.volumeSnapshotClassName"},
			Report: []tenancyv1alpha1.FieldPath{
				".status.creationTime", ".status.readyToUse", ".status.restoreSize", ".status.error",
			},
			Refuse: []tenancyv1alpha1.CustomResourceRefusal{{
				Rule:    "has(object.spec.source.volumeSnapshotContentName)",
				Field:   "spec.source.volumeSnapshotContentName",
				Message: "snapshots are taken of claims only; name a claim in spec.source.persistentVolumeClaimName",
			}},
		},
		classes: []classReference{{
			field:  path{"spec", "volumeSnapshotClassName"},
			kind:   schema.GroupVersionKind{Group: snapshotGroup, Version: "v1", Kind: "VolumeSnapshotClass"},
			shared: func(s sharing) *metav1.LabelSelector { return s.VolumeSnapshotClasses },
		}},
	}
}

// volumeSnapshotClass shows the classes that are shared, without parameters,
// which name Secrets of the super cluster, and without the driver: a snapshot
// controller in the tenant must not take the class for its own.
func volumeSnapshotClass() preset {
	return preset{
		rule: tenancyv1alpha1.CustomResourceRule{
			Group: snapshotGroup, Version: "v1", Kind: "VolumeSnapshotClass", Direction: tenancyv1alpha1.DirectionUp,
			Copy: []tenancyv1alpha1.FieldPath{".deletionPolicy"},
		},
		fixed:      []fixedField{{path{"driver"}, tenancyv1alpha1.SharedDriver}},
		annotation: "snapshot.storage.kubernetes.io/is-default-class",
		shared:     func(s sharing) *metav1.LabelSelector { return s.VolumeSnapshotClasses },
	}
}

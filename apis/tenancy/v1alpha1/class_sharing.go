// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClassSharing says which of the super cluster's own objects the tenants see,
// each kind by labels. No selector means that none of a kind is shared; an
// empty one, {}, shares all. The RuntimeClasses of sandbox.allowed are always
// shared. A tenant's own object of the same name hides the shared one.
type ClassSharing struct {
	// storageClasses that the tenants' claims may name. The one that is the
	// super cluster's default is the tenants' default.
	// +optional
	StorageClasses *metav1.LabelSelector `json:"storageClasses,omitempty"`
	// priorityClasses that the tenants' pods may name. Pods of a higher
	// priority may push out those of other tenants.
	// +optional
	PriorityClasses *metav1.LabelSelector `json:"priorityClasses,omitempty"`
	// ingressClasses that the tenants' Ingresses may name.
	// +optional
	IngressClasses *metav1.LabelSelector `json:"ingressClasses,omitempty"`
	// volumeSnapshotClasses that the tenants' VolumeSnapshots may name.
	// +optional
	VolumeSnapshotClasses *metav1.LabelSelector `json:"volumeSnapshotClasses,omitempty"`
	// gatewayClasses that the tenants may see.
	// +optional
	GatewayClasses *metav1.LabelSelector `json:"gatewayClasses,omitempty"`
}

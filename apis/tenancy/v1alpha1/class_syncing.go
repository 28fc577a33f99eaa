// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// ClassSyncing is how the syncer serves the tenants of a class.
type ClassSyncing struct {
	// weight is a tenant's share of the syncer while others want it too: a
	// tenant of weight 4 is served four times as often as one of weight 1.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight,omitempty"`
	// customResources are kinds of CustomResourceDefinitions that are synced.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	CustomResources []CustomResourceRule `json:"customResources,omitempty"`
}

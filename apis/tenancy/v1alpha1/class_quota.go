// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// ClassQuota bounds what all pods of a tenant together may ask of the super
// cluster. What is asked for is checked against it and shown in status.quota;
// pods are not held to it yet.
type ClassQuota struct {
	// default is the quota of a VirtualCluster that names none: cpu, memory,
	// ephemeral-storage (requests) and pods. What it does not name is not bounded.
	// +optional
	Default corev1.ResourceList `json:"default,omitempty"`
	// max is the most that a VirtualCluster may ask for.
	// +optional
	Max corev1.ResourceList `json:"max,omitempty"`
}

// ClassNode is how the virtual nodes of the tenants look.
type ClassNode struct {
	// labels of the virtual nodes, beside those that every node has.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Labels map[string]string `json:"labels,omitempty"`
	// taints of the virtual nodes. A tenant's pods are bound whether they
	// tolerate them or not; DaemonSets go by them.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Taints []corev1.Taint `json:"taints,omitempty"`
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
)

// ClassQuota bounds what all pods of a tenant together may ask of the super
// cluster. The quota in force is shown in status.quota; pods beyond it wait.
type ClassQuota struct {
	// default is the quota of each resource that a VirtualCluster does not name:
	// cpu, memory, ephemeral-storage and others that pods request, and pods. Of
	// what it does not name either, max is the quota.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(r, r in ['cpu', 'memory', 'ephemeral-storage', 'pods'] || r.startsWith('hugepages-') || r.contains('/'))",message="quotas are of cpu, memory, ephemeral-storage, pods, hugepages-<size> and extended resources: what pods request"
	// +kubebuilder:validation:XValidation:rule="self.all(r, type(self[r]) == string ? !quantity(self[r]).isLessThan(quantity('0')) : self[r] >= 0)",message="a quota cannot be negative"
	Default corev1.ResourceList `json:"default,omitempty"`
	// max is the most that a VirtualCluster may ask for. What neither it nor
	// default names is not bounded.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(r, r in ['cpu', 'memory', 'ephemeral-storage', 'pods'] || r.startsWith('hugepages-') || r.contains('/'))",message="quotas are of cpu, memory, ephemeral-storage, pods, hugepages-<size> and extended resources: what pods request"
	// +kubebuilder:validation:XValidation:rule="self.all(r, type(self[r]) == string ? !quantity(self[r]).isLessThan(quantity('0')) : self[r] >= 0)",message="a quota cannot be negative"
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

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VirtualCluster is a whole Kubernetes cluster for one tenant: an API server of
// its own, whose pods run sandboxed on the super cluster and whose nodes are virtual.
//
// Its UID is the tenant id. Names of at most 40 characters keep every derived name legal.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=vc,categories=tenancy
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Pods",type=integer,JSONPath=`.status.pods`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 40",message="metadata.name may have at most 40 characters: choose a shorter name"
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must be a DNS label that starts with a letter (a-z, 0-9 and '-')"
type VirtualCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the platform team asks for.
	// +optional
	// +kubebuilder:default={}
	Spec VirtualClusterSpec `json:"spec,omitempty"`
	// status is what the platform has made of it.
	// +optional
	Status VirtualClusterStatus `json:"status,omitempty"`
}

// VirtualClusterSpec is the desired state of a VirtualCluster.
type VirtualClusterSpec struct {
	// className names the VirtualClusterClass. It cannot be changed.
	// +optional
	// +kubebuilder:default="default"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="className cannot be changed: create another VirtualCluster"
	ClassName string `json:"className,omitempty"`

	// version is the Kubernetes version of the tenant's control plane, one of
	// the class's versions, for example v1.37.1. Empty means the class's default.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^v1\.[0-9]+\.[0-9]+$`
	Version string `json:"version,omitempty"`
}

// VirtualClusterStatus is the observed state of a VirtualCluster. vc-manager,
// syncer and vn-agent each apply their own fields and conditions with a field
// manager of their own (server-side apply).
type VirtualClusterStatus struct {
	// observedGeneration is the generation that vc-manager last reconciled without an error.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready summarises the others.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=32
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// version is the Kubernetes version that the control plane runs.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Version string `json:"version,omitempty"`

	// pods is how many pods of this tenant the super cluster holds. Written by the syncer.
	// +optional
	Pods *int32 `json:"pods,omitempty"`

	// controlPlane is where the tenant's control plane runs.
	// +optional
	ControlPlane *ControlPlaneStatus `json:"controlPlane,omitempty"`

	// network is what the tenant was given of the super cluster's networks.
	// +optional
	Network *NetworkStatus `json:"network,omitempty"`
}

// ControlPlaneStatus says where a tenant's control plane runs and how it is reached.
type ControlPlaneStatus struct {
	// namespace of the control plane in the meta cluster.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// endpoint is the URL in the user's kubeconfig, reachable as the class's exposure says.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Endpoint string `json:"endpoint,omitempty"`

	// addresses are the pod IPs of the control plane's replicas: the only
	// addresses that the tenant's default/kubernetes Service may lead to.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=45
	Addresses []string `json:"addresses,omitempty"`
}

// NetworkStatus is a tenant's part of the super cluster's networks.
type NetworkStatus struct {
	// serviceCIDR is the tenant's slice of the tenants' ServiceCIDR: a
	// ClusterIP of it is the same address on both sides. It never changes.
	// +kubebuilder:validation:MaxLength=49
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="serviceCIDR must be a CIDR without host bits, for example 10.112.4.0/22"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="serviceCIDR cannot be changed: the tenant's Services have addresses of it"
	ServiceCIDR string `json:"serviceCIDR"`
}

// VirtualClusterList is a list of VirtualClusters.
//
// +kubebuilder:object:root=true
type VirtualClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualCluster `json:"items"`
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VirtualClusterClass is what the platform team decides once for many virtual
// clusters: versions, control plane, exposure, network and sandbox.
//
// A class that a virtual cluster names cannot go: its deletion waits (FinalizerClass).
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=vcclass,categories=tenancy
// +kubebuilder:printcolumn:name="Default-Version",type=string,JSONPath=`.spec.versions[?(@.default==true)].name`
// +kubebuilder:printcolumn:name="Runtime",type=string,JSONPath=`.spec.sandbox.default`
// +kubebuilder:printcolumn:name="Exposure",type=string,JSONPath=`.spec.controlPlane.exposure.type`
// +kubebuilder:printcolumn:name="Used",type=integer,JSONPath=`.status.virtualClusters`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualClusterClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the platform team's decision.
	Spec VirtualClusterClassSpec `json:"spec"`
	// status is what vc-manager found.
	// +optional
	Status VirtualClusterClassStatus `json:"status,omitempty"`
}

// VirtualClusterClassStatus is what vc-manager found about a class.
type VirtualClusterClassStatus struct {
	// observedGeneration is the generation that the rest is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// virtualClusters is how many name this class.
	// +optional
	VirtualClusters int32 `json:"virtualClusters,omitempty"`

	// conditions: see ClassConditionReady.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// VirtualClusterClassSpec is the platform team's decision for a class.
type VirtualClusterClassSpec struct {
	// versions are the Kubernetes versions on offer. Exactly one is the default.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.filter(v, has(v.default) && v.default).size() == 1",message="exactly one version must have default: true"
	Versions []ClassVersion `json:"versions"`

	// controlPlane is how a tenant's control plane is run.
	// +optional
	// +kubebuilder:default={}
	ControlPlane ClassControlPlane `json:"controlPlane,omitempty"`

	// network is what the tenants are given of the super cluster's networks.
	Network ClassNetwork `json:"network"`

	// sandbox says which RuntimeClasses of the super cluster the tenant's pods run in.
	Sandbox ClassSandbox `json:"sandbox"`

	// quota bounds what a tenant may ask of the super cluster.
	// +optional
	Quota ClassQuota `json:"quota,omitempty"`

	// node is how the virtual nodes look.
	// +optional
	Node ClassNode `json:"node,omitempty"`

	// dns is the DNS server that each tenant is given.
	// +optional
	// +kubebuilder:default={}
	DNS ClassDNS `json:"dns,omitempty"`

	// sharing says which of the super cluster's own objects the tenants see.
	// +optional
	Sharing ClassSharing `json:"sharing,omitempty"`

	// syncing is how the syncer serves the tenants.
	// +optional
	// +kubebuilder:default={}
	Syncing ClassSyncing `json:"syncing,omitempty"`
}

// ClassVersion is one Kubernetes version on offer.
type ClassVersion struct {
	// name is the full version, for example v1.37.1.
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^v1\.[0-9]+\.[0-9]+$`
	Name string `json:"name"`
	// image is the control plane image of this version.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Image string `json:"image"`
	// default marks the version of a VirtualCluster that names none.
	// +optional
	Default bool `json:"default,omitempty"`
	// deprecated warns those who run the version or ask for it. It is still offered.
	// +optional
	Deprecated bool `json:"deprecated,omitempty"`
}

// ClassNetwork is what tenants are given of the super cluster's networks.
//
// +kubebuilder:validation:XValidation:rule="cidr(self.serviceCIDR).prefixLength() < self.serviceSliceBits",message="serviceSliceBits must be longer than the prefix of serviceCIDR, or there is no slice to give"
type ClassNetwork struct {
	// serviceCIDR is the range that tenants' slices are cut from. The super
	// cluster must have a ServiceCIDR object that covers it. IPv4.
	// +kubebuilder:validation:MaxLength=49
	// +kubebuilder:validation:XValidation:rule="isCIDR(self) && cidr(self).ip().family() == 4",message="serviceCIDR must be an IPv4 CIDR, for example 10.112.0.0/12"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="serviceCIDR cannot be changed: tenants hold slices of it; create another class"
	ServiceCIDR string `json:"serviceCIDR"`
	// serviceSliceBits is the prefix length of one tenant's slice.
	// +optional
	// +kubebuilder:default=22
	// +kubebuilder:validation:Minimum=12
	// +kubebuilder:validation:Maximum=28
	ServiceSliceBits int32 `json:"serviceSliceBits,omitempty"`
}

// ClassSandbox says which RuntimeClasses tenants' pods run in.
//
// +kubebuilder:validation:XValidation:rule="self.default in self.allowed",message="default must be one of allowed"
type ClassSandbox struct {
	// default is the RuntimeClass of a pod that names none.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Default string `json:"default"`
	// allowed are the RuntimeClasses that a pod may name. Every one must be a sandbox.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	Allowed []string `json:"allowed"`
	// podSecurity is the Pod Security standard that the super cluster enforces
	// on the tenant's pods. The syncer's own rules hold below it in any case.
	// +optional
	// +kubebuilder:default=baseline
	PodSecurity PodSecurityLevel `json:"podSecurity,omitempty"`
}

// PodSecurityLevel is a level of the Pod Security standards. "privileged" is
// not on offer: a sandbox does not make a privileged pod safe.
//
// +kubebuilder:validation:Enum=baseline;restricted
type PodSecurityLevel string

// Values of PodSecurityLevel.
const (
	PodSecurityBaseline   PodSecurityLevel = "baseline"
	PodSecurityRestricted PodSecurityLevel = "restricted"
)

// VirtualClusterClassList is a list of VirtualClusterClasses.
//
// +kubebuilder:object:root=true
type VirtualClusterClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualClusterClass `json:"items"`
}

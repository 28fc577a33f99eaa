// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// VirtualClusterClass is what the platform team decides once for many virtual
// clusters: versions, control plane, exposure, network and sandbox.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=vcclass,categories=tenancy
// +kubebuilder:printcolumn:name="Default-Version",type=string,JSONPath=`.spec.versions[?(@.default==true)].name`
// +kubebuilder:printcolumn:name="Runtime",type=string,JSONPath=`.spec.sandbox.default`
// +kubebuilder:printcolumn:name="Exposure",type=string,JSONPath=`.spec.controlPlane.exposure.type`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type VirtualClusterClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the platform team's decision.
	Spec VirtualClusterClassSpec `json:"spec"`
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
}

// ClassControlPlane is how a tenant's control plane is run.
type ClassControlPlane struct {
	// resources of the control plane's one container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// storage of the control plane's database.
	// +optional
	// +kubebuilder:default={}
	Storage ClassStorage `json:"storage,omitempty"`
	// exposure is how the API server is reached from outside of the meta cluster.
	// +optional
	// +kubebuilder:default={}
	Exposure ClassExposure `json:"exposure,omitempty"`
}

// ClassStorage is the volume of a control plane's database.
type ClassStorage struct {
	// storageClassName of the volume claim. Empty means the meta cluster's default.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName string `json:"storageClassName,omitempty"`
	// size of the volume claim.
	// +optional
	// +kubebuilder:default="2Gi"
	Size resource.Quantity `json:"size,omitempty"`
}

// ExposureType is how a tenant's API server is reached.
//
// +kubebuilder:validation:Enum=ClusterIP;NodePort
type ExposureType string

// Values of ExposureType.
const (
	// ExposeClusterIP: only from inside of the meta cluster.
	ExposeClusterIP ExposureType = "ClusterIP"
	// ExposeNodePort: on a port of every node of the meta cluster.
	ExposeNodePort ExposureType = "NodePort"
)

// ClassExposure is how a tenant's API server is reached from outside.
type ClassExposure struct {
	// type of the API server's Service.
	// +optional
	// +kubebuilder:default=ClusterIP
	Type ExposureType `json:"type,omitempty"`
	// address is the host that the kubeconfig names for a NodePort. Empty
	// means the InternalIP of a ready node of the meta cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Address string `json:"address,omitempty"`
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
}

// VirtualClusterClassList is a list of VirtualClusterClasses.
//
// +kubebuilder:object:root=true
type VirtualClusterClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VirtualClusterClass `json:"items"`
}

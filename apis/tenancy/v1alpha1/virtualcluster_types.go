// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
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
// +kubebuilder:printcolumn:name="Replicas",type=integer,JSONPath=`.status.controlPlane.readyReplicas`
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
//
// +kubebuilder:validation:XValidation:rule="(has(self.controlPlane) && has(self.controlPlane.external)) == (has(oldSelf.controlPlane) && has(oldSelf.controlPlane.external))",message="controlPlane.external cannot be added or removed: create another VirtualCluster"
// +kubebuilder:validation:XValidation:rule="!(has(self.controlPlane) && has(self.controlPlane.external)) || !has(self.version)",message="version must be empty with controlPlane.external: who runs that cluster decides its version"
// +kubebuilder:validation:XValidation:rule="(has(self.controlPlane) && has(self.controlPlane.storage)) == (has(oldSelf.controlPlane) && has(oldSelf.controlPlane.storage))",message="controlPlane.storage cannot be changed: the database lies on it; create another VirtualCluster"
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

	// controlPlane overrides what the class says about control planes.
	// +optional
	ControlPlane *VirtualClusterControlPlane `json:"controlPlane,omitempty"`

	// quota bounds what all pods of the tenant together may ask for: cpu, memory,
	// ephemeral-storage and others that pods request, and pods. What it does not
	// name is as the class's default says; the class's max is the most.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="self.all(r, r in ['cpu', 'memory', 'ephemeral-storage', 'pods'] || r.startsWith('hugepages-') || r.contains('/'))",message="quotas are of cpu, memory, ephemeral-storage, pods, hugepages-<size> and extended resources: what pods request"
	// +kubebuilder:validation:XValidation:rule="self.all(r, type(self[r]) == string ? !quantity(self[r]).isLessThan(quantity('0')) : self[r] >= 0)",message="a quota cannot be negative"
	Quota corev1.ResourceList `json:"quota,omitempty"`

	// paused keeps vc-manager's hands off the control plane: nothing is made,
	// changed, renewed or upgraded. What runs goes on running. Deletion is not paused.
	// +optional
	Paused bool `json:"paused,omitempty"`

	// deletionProtection makes the API server refuse to delete the VirtualCluster.
	// +optional
	DeletionProtection bool `json:"deletionProtection,omitempty"`
}

// VirtualClusterControlPlane overrides, for one virtual cluster, what its class says.
//
// +kubebuilder:validation:XValidation:rule="!has(self.external) || !(has(self.replicas) || has(self.resources) || has(self.storage) || has(self.expose))",message="external excludes replicas, resources, storage and expose: who runs that cluster decides them"
type VirtualClusterControlPlane struct {
	// replicas: 1, or 3, which outlives the loss of any one. Empty means the class's.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == 1 || self == 3",message="replicas must be 1 or 3: a database of two voters is lost with either of them"
	Replicas *int32 `json:"replicas,omitempty"`
	// resources of the control plane's one container, instead of the class's.
	// +optional
	Resources *corev1.ResourceRequirements `json:"resources,omitempty"`
	// storage of the database, instead of the class's. It cannot be changed.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="controlPlane.storage cannot be changed: the database lies on it; create another VirtualCluster"
	Storage *VirtualClusterStorage `json:"storage,omitempty"`
	// expose says how the API server is reached, as the class allows.
	// +optional
	Expose *VirtualClusterExposure `json:"expose,omitempty"`
	// external makes a tenant of a cluster that somebody else runs.
	// +optional
	External *ExternalControlPlane `json:"external,omitempty"`
}

// VirtualClusterStorage is the volume of one control plane's database.
type VirtualClusterStorage struct {
	// storageClassName of the volume claim. Empty means the class's.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName string `json:"storageClassName,omitempty"`
	// size of the volume claim. Empty means the class's.
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`
}

// VirtualClusterExposure is how one tenant's API server is reached.
type VirtualClusterExposure struct {
	// type: one that the class allows.
	Type ExposureType `json:"type"`
}

// ExternalControlPlane is a conformant cluster that somebody else runs.
type ExternalControlPlane struct {
	// kubeconfigSecretRef names a Secret beside the VirtualCluster whose key
	// "value" is a kubeconfig of an administrator (group system:masters or the
	// like) with all data inline.
	KubeconfigSecretRef KubeconfigSecretReference `json:"kubeconfigSecretRef"`
}

// KubeconfigSecretReference names a Secret in the namespace of the object that refers to it.
type KubeconfigSecretReference struct {
	// name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
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

	// certificates tells when the control plane's certificates end.
	// +optional
	Certificates *CertificatesStatus `json:"certificates,omitempty"`

	// upgrade is the last change of version.
	// +optional
	Upgrade *UpgradeStatus `json:"upgrade,omitempty"`

	// quota is the one in force: spec.quota, and what the class says of the rest.
	// +optional
	Quota corev1.ResourceList `json:"quota,omitempty"`
}

// CertificatesStatus tells when the certificates of a control plane end.
type CertificatesStatus struct {
	// generation of the authorities that sign. A rotation counts it up.
	// +optional
	Generation int32 `json:"generation,omitempty"`
	// trustedGenerations are all whose certificates are accepted: two during a rotation.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	TrustedGenerations []int32 `json:"trustedGenerations,omitempty"`
	// authoritiesExpire is when the first authority that signs ends.
	// +optional
	AuthoritiesExpire *metav1.Time `json:"authoritiesExpire,omitempty"`
	// leavesExpire is when the first other certificate ends, unless it is renewed before.
	// +optional
	LeavesExpire *metav1.Time `json:"leavesExpire,omitempty"`
	// nextRenewal is when the next certificate is due to be renewed.
	// +optional
	NextRenewal *metav1.Time `json:"nextRenewal,omitempty"`
}

// UpgradeState is how far a change of version has come.
//
// +kubebuilder:validation:Enum=Rolling;Completed;RolledBack
type UpgradeState string

// Values of UpgradeState.
const (
	// UpgradeRolling: replicas are being replaced, one at a time.
	UpgradeRolling UpgradeState = "Rolling"
	// UpgradeCompleted: every replica runs the new version.
	UpgradeCompleted UpgradeState = "Completed"
	// UpgradeRolledBack: the new version did not become ready; the old one is
	// back, and the new one is not tried again until spec.version names another.
	UpgradeRolledBack UpgradeState = "RolledBack"
)

// UpgradeStatus is a change of version.
type UpgradeStatus struct {
	// from and to are the versions.
	// +kubebuilder:validation:MaxLength=32
	From string `json:"from"`
	// +kubebuilder:validation:MaxLength=32
	To string `json:"to"`
	// state is how far it has come.
	State UpgradeState `json:"state"`
	// startTime is when the first replica was asked to change.
	StartTime metav1.Time `json:"startTime"`
	// message says why it was rolled back.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// ControlPlaneStatus says where a tenant's control plane runs and how it is reached.
type ControlPlaneStatus struct {
	// namespace of the control plane in the meta cluster.
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// endpoint is the URL in the user's kubeconfig, reachable as the exposure says.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	Endpoint string `json:"endpoint,omitempty"`

	// internalEndpoint is host:port of the API server within the meta cluster:
	// the way of the platform's own clients.
	// +optional
	// +kubebuilder:validation:MaxLength=259
	InternalEndpoint string `json:"internalEndpoint,omitempty"`

	// hostname is the name by which vc-gateway leads to the tenant, if it is exposed through it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Hostname string `json:"hostname,omitempty"`

	// replicas is how many voters the database has; readyReplicas is how many of them serve.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

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

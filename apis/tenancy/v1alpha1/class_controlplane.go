// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClassControlPlane is how tenants' control planes are run. A change reaches
// those that run; each says so in its condition UpToDate.
type ClassControlPlane struct {
	// replicas of a control plane whose VirtualCluster does not say: 1, or 3,
	// which outlives the loss of any one.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Enum=1;3
	Replicas int32 `json:"replicas,omitempty"`
	// resources of the control plane's one container.
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// process tunes the control plane's process.
	// +optional
	// +kubebuilder:default={}
	Process ClassProcess `json:"process,omitempty"`
	// storage of the control plane's database.
	// +optional
	// +kubebuilder:default={}
	Storage ClassStorage `json:"storage,omitempty"`
	// exposure is how the API server is reached from outside of the meta cluster.
	// +optional
	// +kubebuilder:default={}
	Exposure ClassExposure `json:"exposure,omitempty"`
	// certificates is how long the control plane's certificates live.
	// +optional
	// +kubebuilder:default={}
	Certificates ClassCertificates `json:"certificates,omitempty"`
	// upgrade is how a control plane gets another version.
	// +optional
	// +kubebuilder:default={}
	Upgrade ClassUpgrade `json:"upgrade,omitempty"`
	// audit is what the API server writes down of the requests it serves.
	// +optional
	// +kubebuilder:default={}
	Audit ClassAudit `json:"audit,omitempty"`
}

// ClassProcess tunes the memory of a control plane's process.
type ClassProcess struct {
	// gcPercent is Go's GOGC. 30 takes a quarter less memory than Go's own 100,
	// for a little CPU.
	// +optional
	// +kubebuilder:default=30
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=400
	GCPercent int32 `json:"gcPercent,omitempty"`
	// memoryLimitPercent is Go's soft limit (GOMEMLIMIT) in percent of the
	// container's memory limit; without such a limit there is none.
	// +optional
	// +kubebuilder:default=80
	// +kubebuilder:validation:Minimum=40
	// +kubebuilder:validation:Maximum=95
	MemoryLimitPercent int32 `json:"memoryLimitPercent,omitempty"`
}

// VolumeRetention says what becomes of a database's volume claims when the
// virtual cluster is deleted.
//
// +kubebuilder:validation:Enum=Delete;Retain
type VolumeRetention string

// Values of VolumeRetention.
const (
	// RetentionDelete: they go with it.
	RetentionDelete VolumeRetention = "Delete"
	// RetentionRetain: they stay, with the key of the Secrets in them, in the
	// control plane's namespace, until somebody deletes that.
	RetentionRetain VolumeRetention = "Retain"
)

// ClassStorage is the volume of a control plane's database.
type ClassStorage struct {
	// storageClassName of the volume claim. Empty means the meta cluster's default.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	StorageClassName string `json:"storageClassName,omitempty"`
	// size of the volume claim. A change is for control planes made after it.
	// +optional
	// +kubebuilder:default="2Gi"
	Size resource.Quantity `json:"size,omitempty"`
	// retention of the volume claims when the virtual cluster is deleted.
	// +optional
	// +kubebuilder:default=Delete
	Retention VolumeRetention `json:"retention,omitempty"`
}

// ExposureType is how a tenant's API server is reached.
//
// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer;Gateway
type ExposureType string

// Values of ExposureType.
const (
	// ExposeClusterIP: only from inside of the meta cluster.
	ExposeClusterIP ExposureType = "ClusterIP"
	// ExposeNodePort: on a port of every node of the meta cluster.
	ExposeNodePort ExposureType = "NodePort"
	// ExposeLoadBalancer: at an address of its own from the meta cluster's load balancer.
	ExposeLoadBalancer ExposureType = "LoadBalancer"
	// ExposeGateway: at the one address of vc-gateway, which tells tenants apart
	// by the name that a client asks for (TLS SNI) and decrypts nothing.
	ExposeGateway ExposureType = "Gateway"
)

// ClassExposure is how a tenant's API server is reached from outside.
//
// +kubebuilder:validation:XValidation:rule="!has(self.allowed) || (has(self.type) && self.type in self.allowed)",message="allowed must name type too"
// +kubebuilder:validation:XValidation:rule="has(self.gateway) || (!(has(self.type) && self.type == 'Gateway') && !(has(self.allowed) && 'Gateway' in self.allowed))",message="gateway is required where Gateway is the type or allowed: set gateway.domain"
type ClassExposure struct {
	// type of exposure of a VirtualCluster that does not say.
	// +optional
	// +kubebuilder:default=ClusterIP
	Type ExposureType `json:"type,omitempty"`
	// allowed are the types that a VirtualCluster may ask for. None means type alone.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Allowed []ExposureType `json:"allowed,omitempty"`
	// address is the host that the kubeconfig names for a NodePort. Empty
	// means the InternalIP of a ready node of the meta cluster.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Address string `json:"address,omitempty"`
	// gateway is where vc-gateway is reached.
	// +optional
	Gateway *ClassGateway `json:"gateway,omitempty"`
}

// ClassGateway is where vc-gateway is reached and how it calls the tenants.
type ClassGateway struct {
	// domain below which every tenant has a name of its own.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=120
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Domain string `json:"domain"`
	// address (host or host:port, port 443 unless named) that kubeconfigs
	// lead to. Empty means that DNS leads the tenants' names to the gateway;
	// with an address, kubeconfigs name it and ask for the tenant's name in the
	// TLS handshake (tls-server-name), and no DNS is needed.
	// +optional
	// +kubebuilder:validation:MaxLength=259
	Address string `json:"address,omitempty"`
}

// ClassCertificates is how long the certificates of a control plane live.
type ClassCertificates struct {
	// leafDuration is the life of every certificate that is not an authority's.
	// Two thirds of it after it was made, a new one takes its place.
	// +optional
	// +kubebuilder:default="8760h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10m') && duration(self) <= duration('43800h')",message="leafDuration must be between 10m and 43800h"
	LeafDuration *metav1.Duration `json:"leafDuration,omitempty"`
	// overlap is how long, in a rotation of the authorities, the old ones are
	// still trusted. Kubeconfigs, certificates and tokens that were handed out
	// before end with it.
	// +optional
	// +kubebuilder:default="168h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('8760h')",message="overlap must be between 1m and 8760h"
	Overlap *metav1.Duration `json:"overlap,omitempty"`
}

// ClassUpgrade is how a control plane gets another version.
type ClassUpgrade struct {
	// timeout is how long a replica of the new version may take to become
	// ready before the control plane goes back to the version it ran.
	// +optional
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('10s') && duration(self) <= duration('1h')",message="timeout must be between 10s and 1h"
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// AuditLevel is the most that the audit log holds of a request (audit.k8s.io).
//
// +kubebuilder:validation:Enum=None;Metadata;Request;RequestResponse
type AuditLevel string

// Values of AuditLevel.
const (
	AuditNone            AuditLevel = "None"
	AuditMetadata        AuditLevel = "Metadata"
	AuditRequest         AuditLevel = "Request"
	AuditRequestResponse AuditLevel = "RequestResponse"
)

// ClassAudit is what the API server writes down of the requests it serves.
type ClassAudit struct {
	// level of the audit log, which goes to the control plane's standard
	// output. Of Secrets and tokens never more than metadata.
	// +optional
	// +kubebuilder:default=None
	Level AuditLevel `json:"level,omitempty"`
}

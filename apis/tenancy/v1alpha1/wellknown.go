// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// LabelPrefix is the domain of every label and annotation of the platform. A
// key below it that a tenant writes never reaches the super cluster.
const LabelPrefix = GroupName + "/"

// Labels on objects of the super and the meta cluster.
const (
	// LabelTenantID carries the tenant id (the VirtualCluster's UID). On every
	// object that the platform makes for a tenant.
	LabelTenantID = LabelPrefix + "tenant-id"
	// LabelManagedBy names the component that owns the object: one of the
	// ManagedBy values. Caches of the super cluster select on it.
	LabelManagedBy = LabelPrefix + "managed-by"
)

// LabelExternalCluster is, on the control plane's namespace of an external control
// plane, the identity of its cluster: the UID of its namespace kube-system.
const LabelExternalCluster = LabelPrefix + "external-cluster"

// Values of LabelManagedBy.
const (
	// ManagedBySyncer marks a super object that mirrors a tenant's object.
	ManagedBySyncer = "syncer"
	// ManagedByManager marks an object that vc-manager made to run a control plane.
	ManagedByManager = "vc-manager"
)

// Annotations on super objects: the stamp of package identity.
const (
	// AnnotationTenantNamespace is the namespace of the tenant's object; empty if it is cluster-scoped.
	AnnotationTenantNamespace = LabelPrefix + "tenant-namespace"
	// AnnotationTenantName is the name of the tenant's object.
	AnnotationTenantName = LabelPrefix + "tenant-name"
	// AnnotationTenantUID is the UID of the tenant's object.
	AnnotationTenantUID = LabelPrefix + "tenant-uid"
	// AnnotationTenantOrigin is what the object was last written from: the UID
	// of the tenant's namespace kube-system, which no two clusters share, a slash,
	// and the resource version of the tenant's object.
	AnnotationTenantOrigin = LabelPrefix + "tenant-origin"
	// AnnotationVirtualCluster is namespace/name of the VirtualCluster: for people, never read back.
	AnnotationVirtualCluster = LabelPrefix + "virtual-cluster"
)

// AnnotationBound is set by the syncer on a tenant's pod when it binds the pod:
// the pod's UID. It tells such a pod, which has a super pod, from one that
// somebody else bound.
const AnnotationBound = LabelPrefix + "bound"

// AnnotationMoving is set by the syncer on a tenant's Service while it gives it
// another address or other node ports: how far it has come.
const AnnotationMoving = LabelPrefix + "moving"

// SharedDriver stands, in what a tenant sees of the super cluster, where the
// name of a driver, provisioner or controller would be: which one it is tells
// about the platform, and a driver of that name in the tenant would take the
// platform's objects for its own.
const SharedDriver = GroupName

// AnnotationAllowDeletions on a VirtualCluster is a time (RFC 3339): deletions
// that were held (condition DeletionsSynced) since then or earlier may go on.
const AnnotationAllowDeletions = LabelPrefix + "allow-deletions"

// AnnotationRotateAuthorities on a VirtualCluster is a time (RFC 3339):
// authorities made before it are replaced, with a time in which both the old
// and the new are trusted (spec.controlPlane.certificates.overlap of the class).
const AnnotationRotateAuthorities = LabelPrefix + "rotate-authorities"

// AnnotationAllowEmptyDatabase on a VirtualCluster is a time (RFC 3339): a
// control plane whose database was lost before it may start with an empty one.
const AnnotationAllowEmptyDatabase = LabelPrefix + "allow-empty-database"

// FinalizerClass is on a VirtualClusterClass that virtual clusters name.
const FinalizerClass = LabelPrefix + "in-use"

// Finalizers of a VirtualCluster, removed in this order.
const (
	// FinalizerSyncer is set by the syncer before it writes the first super
	// object of a tenant and removed when the last is gone.
	FinalizerSyncer = LabelPrefix + "syncer"
	// FinalizerManager is set by vc-manager before it makes anything, and
	// removed, once FinalizerSyncer is gone, when the control plane is gone.
	FinalizerManager = LabelPrefix + "vc-manager"
)

// Secrets and keys through which the components meet.
const (
	// KubeconfigSecretSuffix: Secret <name>-kubeconfig beside the
	// VirtualCluster holds the tenant administrator's kubeconfig (the same
	// convention as Cluster API).
	KubeconfigSecretSuffix = "-kubeconfig"
	// SecretSyncerKubeconfig, in the control plane's namespace, holds the
	// syncer's kubeconfig for the tenant.
	SecretSyncerKubeconfig = "syncer-kubeconfig"
	// SecretAgentKubeconfig, in the control plane's namespace, holds vn-agent's
	// kubeconfig for the tenant (a node identity: system:node:<VirtualNodeName>)
	// and, under KeyKubeletClientCA, the CA that issues the certificates by
	// which vn-agent knows this tenant's API server.
	SecretAgentKubeconfig = "vn-agent-kubeconfig"
	// KeyKubeconfig is the key of a kubeconfig in any of these Secrets.
	KeyKubeconfig = "value"
	// KeyKubeletClientCA is the key of the kubelet client CA certificate (PEM) in SecretAgentKubeconfig.
	KeyKubeletClientCA = "kubelet-client-ca.crt"
	// KeyKubeletClientProof is the key, in the Secret of an external control
	// plane's kubeconfig, of a certificate (PEM) by the authority under
	// KeyKubeletClientCA whose common name is namespace/name of the VirtualCluster.
	KeyKubeletClientProof = "kubelet-client-proof.crt"
	// SecretAgentServing, in the platform's namespace, is a kubernetes.io/tls
	// Secret with vn-agent's serving certificate, made by vc-manager. The
	// certificate's IP address is the ClusterIP of the vn-agent Service.
	SecretAgentServing = "vn-agent-serving"
	// SecretAgentServingCA, in the platform's namespace, is a kubernetes.io/tls
	// Secret with the CA of SecretAgentServing. Only vc-manager reads it.
	SecretAgentServingCA = "vn-agent-serving-ca"
	// AgentServiceName is the Service of vn-agent in the platform's namespace.
	AgentServiceName = "vn-agent"
	// AgentPort is the port of vn-agent's kubelet API, on the Service and in
	// the pod; the virtual Node's daemonEndpoints name it.
	AgentPort = 10250
)

// Well-known names of a tenant.
const (
	// VirtualNodeName is the Node that a tenant sees.
	VirtualNodeName = "virtual-node-0"
	// ControlPlaneServiceName is the Service (and StatefulSet) of the control
	// plane in its namespace; it serves ControlPlanePort.
	ControlPlaneServiceName = "control-plane"
	// ControlPlanePort is the port of the tenant's API server.
	ControlPlanePort = 6443
	// TenantDNSOffset is the offset of the tenant's DNS Service in its slice
	// of the service range (the convention that kubeadm set).
	TenantDNSOffset = 10
	// ClusterDomain is the DNS domain of every tenant.
	ClusterDomain = "cluster.local"
)

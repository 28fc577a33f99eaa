// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of a VirtualCluster. All of them are True in a healthy one,
// but for DNSReady if its class gives no DNS. The comment of each says who
// writes it.
const (
	// ConditionReady summarises the others: the tenant can be handed its
	// kubeconfig, and pods will run. Written by vc-manager.
	ConditionReady = "Ready"
	// ConditionClassResolved: the class exists, and offers a version to begin with
	// where nothing runs yet (see ConditionUpToDate for what runs). Written by vc-manager.
	ConditionClassResolved = "ClassResolved"
	// ConditionNetworkAllocated: the tenant holds a slice of the service range. Written by vc-manager.
	ConditionNetworkAllocated = "NetworkAllocated"
	// ConditionCertificatesReady: every CA, leaf and kubeconfig is in place. Written by vc-manager.
	ConditionCertificatesReady = "CertificatesReady"
	// ConditionControlPlaneReady: the tenant's API server answers. Written by vc-manager.
	ConditionControlPlaneReady = "ControlPlaneReady"
	// ConditionSyncerReady: the syncer is connected to the tenant and has
	// synced once. Written by the syncer.
	ConditionSyncerReady = "SyncerReady"
	// ConditionNodeReady: the virtual node is registered and its lease is
	// renewed. Written by vn-agent.
	ConditionNodeReady = "NodeReady"
	// ConditionDeletionsSynced: what is absent in the tenant is deleted in the
	// super cluster. False means that the syncer holds deletions, because so much
	// is absent that it may have been lost; all else is synced as ever. It is not
	// part of Ready. Written by the syncer.
	ConditionDeletionsSynced = "DeletionsSynced"
	// ConditionDNSReady: CoreDNS runs in the tenant as the class says. Ready does
	// not wait for it: a tenant can break its own DNS, which must not look like
	// a cluster that cannot be used, and nobody should wait for an image longer
	// than for an API. Written by vc-manager.
	ConditionDNSReady = "DNSReady"
	// ConditionUpToDate: the control plane runs what VirtualCluster and class ask
	// for. False while it is being changed or when a change is refused; the
	// control plane serves on meanwhile, and Ready does not wait for it. Written by vc-manager.
	ConditionUpToDate = "UpToDate"
	// ConditionCustomResourcesReady: every rule of the class for custom resources
	// is in force as far as the tenant serves the kind. Absent where the class
	// has no such rule; Ready does not wait for it. Written by the syncer.
	ConditionCustomResourcesReady = "CustomResourcesReady"
)

// Condition types of a VirtualClusterClass, written by vc-manager.
const (
	// ClassConditionReady: virtual clusters can be made of the class.
	ClassConditionReady = "Ready"
)

// Reasons of the conditions above.
const (
	// ReasonReady: what the condition is about is as it should be.
	ReasonReady = "Ready"
	// ReasonClassNotFound: spec.className names no VirtualClusterClass. Remedy: create the class or name another.
	ReasonClassNotFound = "ClassNotFound"
	// ReasonVersionNotOffered: spec.version, or what runs, is not one of the
	// class's versions. What runs goes on running. Remedy: see the message, which lists them.
	ReasonVersionNotOffered = "VersionNotOffered"
	// ReasonServiceRangeExhausted: no slice of the class's service range is free. Remedy: delete a tenant or use a class with another range.
	ReasonServiceRangeExhausted = "ServiceRangeExhausted"
	// ReasonClassDeleting: the class is being deleted and takes no new virtual
	// clusters; it goes when the last that names it has gone.
	ReasonClassDeleting = "ClassDeleting"
	// ReasonClassInvalid: the class cannot work as it is written. Remedy: see the message.
	ReasonClassInvalid = "ClassInvalid"
	// ReasonExposureNotAllowed: the class does not allow spec.controlPlane.expose.type.
	// Remedy: the message lists what it allows.
	ReasonExposureNotAllowed = "ExposureNotAllowed"
	// ReasonQuotaExceedsMaximum: spec.quota asks for more than the class's quota.max.
	ReasonQuotaExceedsMaximum = "QuotaExceedsMaximum"
	// ReasonStorageClassNotFound: the StorageClass of the control plane's volume
	// does not exist. Remedy: create it, or name another.
	ReasonStorageClassNotFound = "StorageClassNotFound"
	// ReasonDatabaseLost: the volume with the tenant's database is empty although
	// it was not. Remedy: restore it, or allow an empty one (AnnotationAllowEmptyDatabase).
	ReasonDatabaseLost = "DatabaseLost"
	// ReasonKubeconfigInvalid: the kubeconfig of an external control plane is
	// missing, cannot be read or does not work. Remedy: see the message.
	ReasonKubeconfigInvalid = "KubeconfigInvalid"
	// ReasonCredentialsRejected: the external API server does not accept the
	// kubeconfig's credentials, or gives them too few rights.
	ReasonCredentialsRejected = "CredentialsRejected"
	// ReasonSuperCluster: the kubeconfig leads to the super or the meta cluster itself.
	ReasonSuperCluster = "SuperCluster"
	// ReasonServiceRangeUnsuitable: an external cluster's service range is not
	// within the class's or is taken. Remedy: see the message.
	ReasonServiceRangeUnsuitable = "ServiceRangeUnsuitable"
	// ReasonRollingOut: replicas are being replaced one at a time.
	ReasonRollingOut = "RollingOut"
	// ReasonReplicaUnavailable: a replica is down; the others serve. The message
	// says which, and what was seen of it.
	ReasonReplicaUnavailable = "ReplicaUnavailable"
	// ReasonScaling: replicas are being added or taken away.
	ReasonScaling = "Scaling"
	// ReasonVersionDeprecated: everything is as asked for, but the class
	// deprecates the version that runs. Remedy: the message lists those to go on to.
	ReasonVersionDeprecated = "VersionDeprecated"
	// ReasonUpgradeRefused: spec.version cannot be reached from the version that
	// runs. The message says why; the control plane stays as it is.
	ReasonUpgradeRefused = "UpgradeRefused"
	// ReasonRolledBack: the new version did not become ready and the old one is
	// back. The message has the cause; it is tried again when spec.version changes.
	ReasonRolledBack = "RolledBack"
	// ReasonPaused: spec.paused is true.
	ReasonPaused = "Paused"
	// ReasonProvisioning: the step is under way.
	ReasonProvisioning = "Provisioning"
	// ReasonControlPlaneUnavailable: the API server does not answer (the message says what was seen).
	ReasonControlPlaneUnavailable = "ControlPlaneUnavailable"
	// ReasonTenantUnreachable: the writer of the condition cannot reach the tenant's API server.
	ReasonTenantUnreachable = "TenantUnreachable"
	// ReasonWaiting: another condition must be True first; the message names it.
	ReasonWaiting = "Waiting"
	// ReasonTenantReplaced: the API server behind the tenant's kubeconfig serves
	// another cluster than before. Deletions wait for AnnotationAllowDeletions.
	ReasonTenantReplaced = "TenantReplaced"
	// ReasonTenantWentBack: the tenant's database is older than what was synced
	// from it. Deletions wait for AnnotationAllowDeletions.
	ReasonTenantWentBack = "TenantWentBack"
	// ReasonManyObjectsGone: many objects are gone and nobody was seen to delete
	// them. Deletions wait for the brake's grace or AnnotationAllowDeletions.
	ReasonManyObjectsGone = "ManyObjectsGone"
	// ReasonCustomResourceUnavailable: a rule for custom resources cannot be put in force. Remedy: see the message.
	ReasonCustomResourceUnavailable = "CustomResourceUnavailable"
	// ReasonDeleting: the VirtualCluster is being deleted.
	ReasonDeleting = "Deleting"
	// ReasonDisabled: the class gives its tenants no such thing.
	ReasonDisabled = "Disabled"
	// ReasonConflict: the tenant has an object of its own where the platform's
	// should be. Remedy: the message names it; the tenant deletes it.
	ReasonConflict = "Conflict"
	// ReasonRefused: the tenant's API server does not take an object of the
	// platform's, for example because of a webhook of the tenant's. Remedy: the
	// message says why; it is tried again with growing pauses.
	ReasonRefused = "Refused"
	// ReasonError: a step failed and is retried with back-off; the message has the error.
	ReasonError = "Error"
)

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
	// ConditionClassResolved: the class exists and offers the version. Written by vc-manager.
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
	// ConditionCustomResourcesReady: every rule of the class for custom resources
	// is in force as far as the tenant serves the kind. Absent where the class
	// has no such rule; Ready does not wait for it. Written by the syncer.
	ConditionCustomResourcesReady = "CustomResourcesReady"
)

// Reasons of the conditions above.
const (
	// ReasonReady: what the condition is about is as it should be.
	ReasonReady = "Ready"
	// ReasonClassNotFound: spec.className names no VirtualClusterClass. Remedy: create the class or name another.
	ReasonClassNotFound = "ClassNotFound"
	// ReasonVersionNotOffered: spec.version is not one of the class's versions. Remedy: see the message, which lists them.
	ReasonVersionNotOffered = "VersionNotOffered"
	// ReasonServiceRangeExhausted: no slice of the class's service range is free. Remedy: delete a tenant or use a class with another range.
	ReasonServiceRangeExhausted = "ServiceRangeExhausted"
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

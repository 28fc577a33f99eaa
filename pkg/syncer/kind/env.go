// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"net/netip"

	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
)

// Env is all that a kind may know about the tenant it works for. It offers no
// writer.
type Env struct {
	// Names maps this tenant's keys to super names.
	Names names.Tenant
	// Facts are what the platform decided for this tenant.
	Facts Facts
	// Tenant reads the tenant's objects from the syncer's cache.
	Tenant client.Reader
	// Super reads from the syncer's cache of the super cluster: objects that
	// carry this tenant's stamp, and objects of a catalogue that this tenant may
	// see. All else is not found.
	Super client.Reader
	// Warn tells the tenant that a field has no effect. The engine turns it
	// into one Warning event.
	Warn func(field, remedy string)
	// Changed tells the tenant that the platform has changed a field of its
	// object, and why. The engine turns it into one Warning event.
	Changed func(field, why string)
}

// FieldPodIP is the index on the super cluster's pods by each of their addresses,
// for Env.Super.
const FieldPodIP = "status.podIPs.ip"

// Facts are what the platform decided for a tenant.
type Facts struct {
	// ServiceCIDR is the tenant's slice of the service range. Its first address
	// is the tenant's default/kubernetes Service.
	ServiceCIDR netip.Prefix
	// ControlPlaneAddresses are the only addresses that default/kubernetes may lead to.
	ControlPlaneAddresses []string
	// DefaultRuntimeClass is the RuntimeClass of a pod that names none.
	DefaultRuntimeClass string
	// AllowedRuntimeClasses are those that a pod may name.
	AllowedRuntimeClasses []string
	// PodSecurity is the Pod Security standard that the super cluster enforces on
	// the tenant's pods.
	PodSecurity tenancyv1alpha1.PodSecurityLevel
	// Sharing is what the class lets the tenant see of the super cluster.
	Sharing tenancyv1alpha1.ClassSharing
}

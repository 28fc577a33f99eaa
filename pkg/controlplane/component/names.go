// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
)

// ServingDNSNames returns the DNS names of the API server's certificate: those
// that pods of the tenant use, those of the Service in the meta cluster, and localhost.
func (s Spec) ServingDNSNames() []string {
	out := []string{"localhost"}
	out = append(out, serviceNames("kubernetes", "default")...)
	return append(out, serviceNames(tenancyv1alpha1.ControlPlaneServiceName, s.NamespaceName())[1:]...)
}

// PeerDomain is the DNS domain below which the members of the database are
// called by the names of their pods.
func (s Spec) PeerDomain() string {
	names := serviceNames(PeersServiceName, s.NamespaceName())
	return names[len(names)-1]
}

// PeerDNSName returns the DNS name of a member, by its ordinal.
func (s Spec) PeerDNSName(ordinal int32) string {
	return MemberName(ordinal) + "." + s.PeerDomain()
}

// PeerDNSNames returns the names of all members that there may ever be: one
// certificate is for all of them, and adding a member changes none.
func (s Spec) PeerDNSNames() []string {
	var out []string
	for ordinal := range MaxMembers {
		out = append(out, s.PeerDNSName(ordinal))
	}
	return out
}

// ServingIPs returns the IP addresses of the API server's certificate:
// loopback, the tenant's default/kubernetes Service (the first address of its
// slice), and extra, which may hold host names, which are left out, and
// repetitions.
func (s Spec) ServingIPs(extra ...string) ([]net.IP, error) {
	slice, err := netip.ParsePrefix(s.ServiceCIDR)
	if err != nil {
		return nil, fmt.Errorf("parsing status.network.serviceCIDR: %w", err)
	}
	out := []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(slice.Masked().Addr().Next().String())}
	for _, address := range extra {
		if ip := net.ParseIP(address); ip != nil {
			out = append(out, ip)
		}
	}
	return out, nil
}

// Hostname returns the name by which vc-gateway knows the tenant, below the
// class's domain, or nothing if the class has no gateway.
func (s Spec) Hostname() string {
	if s.ControlPlane.Exposure.Gateway == nil {
		return ""
	}
	tenant := names.Tenant{ID: string(s.TenantID), Name: s.VirtualCluster.Name}
	return tenant.Host() + "." + s.ControlPlane.Exposure.Gateway.Domain
}

// serviceNames returns the names by which a Service is called, shortest first.
func serviceNames(name, namespace string) []string {
	parts := []string{name, namespace, "svc", tenancyv1alpha1.ClusterDomain}
	var out []string
	for i := range parts {
		out = append(out, strings.Join(parts[:i+1], "."))
	}
	return out
}

// AgentDNSNames returns the DNS names of vn-agent's certificate.
func AgentDNSNames(namespace string) []string {
	return serviceNames(tenancyv1alpha1.AgentServiceName, namespace)[2:]
}

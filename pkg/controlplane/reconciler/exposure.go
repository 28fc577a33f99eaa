// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// gatewayPort is where vc-gateway listens unless the class says otherwise.
const gatewayPort = 443

// endpoint is where a kubeconfig leads. The zero value leads nowhere.
type endpoint struct {
	// server is the URL; tlsServerName is what to ask for in the handshake if
	// it is not the URL's host.
	server, tlsServerName string
}

// name returns the name that the server's certificate must carry.
func (e endpoint) name() string {
	if e.tlsServerName != "" {
		return e.tlsServerName
	}
	return hostOf(e.server)
}

// exposed is how users should reach an API server.
type exposed struct {
	endpoint endpoint
	// hosts are all names and addresses by which it may be called from outside, sorted.
	hosts []string
	// hostname is the name by which vc-gateway leads to it; empty if it should not.
	hostname string
	// awaiting says what keeps users from being given the endpoint; empty if
	// nothing does. silent is true if no watch tells when it ends.
	awaiting string
	silent   bool
}

// exposeControlPlane finds how the API server should be reached, by the type of
// exposure. It never fails for want of an address: a control plane runs and is
// renewed without one.
func (r *Reconciler) exposeControlPlane(ctx context.Context, s *scope) (exposed, error) {
	switch s.spec.ControlPlane.Exposure.Type {
	case tenancyv1alpha1.ExposeNodePort:
		var nodes corev1.NodeList
		if err := r.Client.List(ctx, &nodes); err != nil {
			return exposed{}, fmt.Errorf("listing nodes: %w", err)
		}
		return s.exposeOnNodes(nodes.Items), nil
	case tenancyv1alpha1.ExposeLoadBalancer:
		return s.exposeAtLoadBalancer(), nil
	case tenancyv1alpha1.ExposeGateway:
		return s.exposeBehindGateway(), nil
	default:
		return exposed{endpoint: endpoint{server: serverURL(s.service.Spec.ClusterIP, tenancyv1alpha1.ControlPlanePort)}}, nil
	}
}

func (s *scope) exposeOnNodes(nodes []corev1.Node) exposed {
	address := s.spec.ControlPlane.Exposure.Address
	out := exposed{hosts: nodeHosts(nodes, address)}
	host, ok := nodePortHost(nodes, address, s.status.ControlPlane.Endpoint)
	if !ok {
		out.awaiting = fmt.Sprintf("spec.controlPlane.exposure.address of class %q is empty and no node of the meta cluster is Ready with an InternalIP: set the address, or wait for a node",
			s.class.Name)
		return out
	}
	out.endpoint.server = serverURL(host, s.service.Spec.Ports[0].NodePort)
	return out
}

// exposeAtLoadBalancer keeps the address that users have as long as the load
// balancer has it, so that one more is no change.
func (s *scope) exposeAtLoadBalancer() exposed {
	hosts := ingressHosts(s.service.Status.LoadBalancer.Ingress)
	if len(hosts) == 0 {
		return exposed{awaiting: fmt.Sprintf("Service %s/%s of type LoadBalancer has no address yet: a load balancer of the meta cluster must write one into its status; without one, choose another type of exposure",
			s.service.Namespace, s.service.Name)}
	}
	host := hosts[0]
	if present := hostOf(s.status.ControlPlane.Endpoint); slices.Contains(hosts, present) {
		host = present
	}
	return exposed{endpoint: endpoint{server: serverURL(host, tenancyv1alpha1.ControlPlanePort)}, hosts: hosts}
}

// ingressHosts returns the addresses of a load balancer, sorted.
func ingressHosts(ingress []corev1.LoadBalancerIngress) []string {
	var hosts []string
	for i := range ingress {
		for _, host := range []string{ingress[i].IP, strings.ToLower(ingress[i].Hostname)} {
			if isHost(host) {
				hosts = append(hosts, host)
			}
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

func (s *scope) exposeBehindGateway() exposed {
	hostname := s.spec.Hostname()
	out := exposed{hosts: []string{hostname}, hostname: hostname}
	address := s.spec.ControlPlane.Exposure.Gateway.Address
	if address == "" {
		out.endpoint.server = "https://" + hostname
		return out
	}
	authority, ok := gatewayAuthority(address)
	if !ok {
		out.awaiting = fmt.Sprintf("spec.controlPlane.exposure.gateway.address of class %q: %q is neither a host nor host:port",
			s.class.Name, address)
		return out
	}
	out.endpoint = endpoint{server: "https://" + authority, tlsServerName: hostname}
	return out
}

// gatewayAuthority returns the authority (host, and port unless it is 443) of a
// URL for an address that is host or host:port.
func gatewayAuthority(address string) (string, bool) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), strconv.Itoa(gatewayPort)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || !isHost(host) {
		return "", false
	}
	if number == gatewayPort {
		return strings.TrimSuffix(net.JoinHostPort(host, ""), ":"), true
	}
	return net.JoinHostPort(host, port), true
}

// isHost reports whether a certificate can carry host: an IP address or a DNS name.
func isHost(host string) bool {
	return net.ParseIP(host) != nil || len(validation.IsDNS1123Subdomain(host)) == 0
}

// hostOf returns the host of a URL, or nothing.
func hostOf(server string) string {
	parsed, err := url.Parse(server)
	if err != nil {
		return ""
	}
	return parsed.Hostname()
}

// presentName returns the name by which users were told to call the API server.
func (s *scope) presentName() string {
	if hostname := s.status.ControlPlane.Hostname; hostname != "" {
		return hostname
	}
	return hostOf(s.status.ControlPlane.Endpoint)
}

// checkEndpoint reports whether users have been given the way that they should have.
func (r *Reconciler) checkEndpoint(_ context.Context, s *scope) error {
	if s.exposed.awaiting == "" {
		return nil
	}
	// Certificates are renewed meanwhile.
	after := resyncPeriod
	if s.exposed.silent {
		after = patience(s.unavailableFor(r.Clock), retryProbe, retryProbeMax)
	}
	return &blocked{reason: tenancyv1alpha1.ReasonProvisioning, message: s.exposed.awaiting, after: after}
}

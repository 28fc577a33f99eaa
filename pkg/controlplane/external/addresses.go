// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"

	discoveryv1 "k8s.io/api/discovery/v1"
)

const (
	// maxAddresses is how many addresses of an API server count.
	maxAddresses = 16
	// inCluster is the name by which pods call their API server; the certificate
	// of every conformant cluster's has it.
	inCluster = "kubernetes.default.svc"
)

// Addresses returns the addresses, sorted, at which the cluster's pods find
// their API server: those of EndpointSlice default/kubernetes at which somebody
// answers whom the kubeconfig's authority certified as the API server. Without
// that proof the one who writes the slice could lead pods to any address that
// the super cluster's network reaches.
func (c *Cluster) Addresses(ctx context.Context) ([]string, error) {
	slice := &discoveryv1.EndpointSlice{}
	if err := c.get(ctx, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes", slice); err != nil {
		return nil, c.refusal(err)
	}
	var mu sync.Mutex
	var proven []string
	var probes sync.WaitGroup
	for _, candidate := range candidates(slice) {
		probes.Go(func() {
			if c.isServer(ctx, candidate) {
				mu.Lock()
				defer mu.Unlock()
				proven = append(proven, candidate.Addr().String())
			}
		})
	}
	probes.Wait()
	slices.Sort(proven)
	return slices.Compact(proven), nil
}

func candidates(slice *discoveryv1.EndpointSlice) []netip.AddrPort {
	var out []netip.AddrPort
	for _, port := range slice.Ports {
		if port.Port == nil || *port.Port < 1 || *port.Port > 65535 {
			continue
		}
		for _, endpoint := range slice.Endpoints {
			for _, text := range endpoint.Addresses {
				address, err := netip.ParseAddr(text)
				if err == nil && address.Is4() && len(out) < maxAddresses {
					out = append(out, netip.AddrPortFrom(address, uint16(*port.Port))) //nolint:gosec // within range, see above.
				}
			}
		}
	}
	return out
}

// isServer completes a TLS handshake, in which we show nothing of ourselves.
func (c *Cluster) isServer(ctx context.Context, candidate netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	address := net.JoinHostPort(candidate.Addr().String(), strconv.Itoa(int(candidate.Port())))
	connection, err := c.dial(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer connection.Close()
	config := &tls.Config{RootCAs: c.tls.RootCAs, ServerName: inCluster, MinVersion: tls.VersionTLS12}
	return tls.Client(connection, config).HandshakeContext(ctx) == nil
}

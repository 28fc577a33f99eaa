// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// TestAddresses: whoever writes the EndpointSlice chooses only among addresses
// that are proven to be this API server's.
func TestAddresses(t *testing.T) {
	own, other := authority(t), authority(t)
	slice := discoveryv1.EndpointSlice{
		Ports: []discoveryv1.EndpointPort{{Port: ptr.To[int32](6443)}, {Port: ptr.To[int32](0)}, {}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"192.0.2.4", "192.0.2.3"}},
			{Addresses: []string{"192.0.2.2", "192.0.2.1", "192.0.2.5", "2001:db8::1", "nonsense"}},
		},
	}
	api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(slice); err != nil {
			t.Error(err)
		}
	})
	servers := map[string]string{
		"192.0.2.1:6443": serve(t, own, inCluster, api),
		"192.0.2.2:6443": serve(t, other, inCluster, api),
		"192.0.2.3:6443": serve(t, own, "kubelet.test", api),
		"192.0.2.4:6443": serve(t, own, inCluster, api),
		// At 192.0.2.5 is nobody.
	}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, servers[address])
	}
	access := &Access{CA: own.CertPEM(), ServerName: inCluster, Token: "x"}
	var err error
	if access.Server, err = parseServer("https://192.0.2.1:6443"); err != nil {
		t.Fatal(err)
	}
	cluster, err := Connect(access, dial)
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	got, err := cluster.Addresses(t.Context())
	if diff := cmp.Diff([]string{"192.0.2.1", "192.0.2.4"}, got); diff != "" || err != nil {
		t.Errorf("Addresses: error %v (-want +got):\n%s", err, diff)
	}
}

// serve serves with a certificate for a name, and returns where.
func serve(t *testing.T, by *pki.Authority, name string, handler http.Handler) string {
	t.Helper()
	cert, key, err := by.Issue(pki.Leaf{CommonName: name, DNSNames: []string{name}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

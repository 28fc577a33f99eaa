// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// Names by which the certificates are counted.
const (
	servedAPI        = "served by the API server"
	servedEtcd       = "served by the etcd member"
	shownKubelet     = "shown to the kubelet"
	shownExtension   = "shown to the aggregated API"
	shownControllers = "shown by the controllers"
)

// closeQuery, in the query of a request, asks the server to close the connection.
const closeQuery = "limitBytes=1048576"

// startServer starts a server that takes clients of one authority only. It
// looks at the certificate of each request, as an API server does, not of each
// connection: one that has expired is refused although its connection was made
// in time.
func startServer(t *testing.T, serving, clients *pki.Authority, name string, seen *serials, who string, answer http.HandlerFunc) int {
	t.Helper()
	certPEM, keyPEM, err := serving.Issue(pki.Leaf{
		CommonName: name, DNSNames: []string{name}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(clients.CertPEM())
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown := r.TLS.PeerCertificates[0]
		if now := time.Now(); now.After(shown.NotAfter) {
			http.Error(w, fmt.Sprintf("the certificate expired %s ago", now.Sub(shown.NotAfter)), http.StatusUnauthorized)
			return
		}
		seen.add(who, shown.SerialNumber.String())
		if r.URL.RawQuery == closeQuery {
			w.Header().Set("Connection", "close")
		}
		answer(w, r)
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS12,
	}
	server.StartTLS()
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.Listener.Addr().(*net.TCPAddr).Port
}

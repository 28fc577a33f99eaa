// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package addon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// requestTimeout limits one request. A webhook of the tenant's may take 30 s;
	// nobody waits for that.
	requestTimeout = 5 * time.Second
	// VisitTimeout limits all requests of one visit together.
	VisitTimeout = 15 * time.Second
	// maxResponse is the most that is read of one answer, in bytes: as much as
	// an API server takes as a request, so no object is larger.
	maxResponse = 3 << 20
)

// Access says how a tenant's API server is reached.
type Access struct {
	// Address is host:port.
	Address string
	// CA (PEM) is the only authority that may have certified the server.
	CA []byte
	// ClientCert and ClientKey (PEM) are who we are.
	ClientCert, ClientKey []byte
	// Dial opens a connection. It must keep to the context.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Tenant is a connection to one tenant's API, for one visit of one goroutine.
type Tenant struct {
	client    client.Client
	transport *http.Transport
}

// Connect prepares a visit; it sends nothing yet. Close the result.
func Connect(access Access) (*Tenant, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(access.CA) {
		return nil, errors.New("the control plane's authority is not a PEM certificate")
	}
	pair, err := tls.X509KeyPair(access.ClientCert, access.ClientKey)
	if err != nil {
		return nil, fmt.Errorf("reading the client certificate: %w", err)
	}
	transport := &http.Transport{
		DialContext:         access.Dial,
		TLSClientConfig:     &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: requestTimeout,
		ForceAttemptHTTP2:   true,
	}
	tenant, err := Over("https://"+access.Address, transport)
	if err != nil {
		return nil, err
	}
	tenant.transport = transport
	return tenant, nil
}

// Over prepares a visit to the API server at the URL server over a connection
// that is the caller's: its credentials, and its to close.
func Over(server string, connection http.RoundTripper) (*Tenant, error) {
	httpClient := &http.Client{
		Transport: bounded{connection},
		Timeout:   requestTimeout,
		// Wherever a tenant's server might send us, we have no business there.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	// Warnings are the tenant's text, too.
	config := &rest.Config{Host: server, QPS: -1, WarningHandler: rest.NoWarnings{}}
	tenantClient, err := client.New(config, client.Options{HTTPClient: httpClient, Scheme: runtime.NewScheme(), Mapper: mapper()})
	if err != nil {
		return nil, fmt.Errorf("making the tenant's client: %w", err)
	}
	return &Tenant{client: tenantClient, transport: &http.Transport{}}, nil
}

// Close ends the connections that Connect opened.
func (t *Tenant) Close() { t.transport.CloseIdleConnections() }

// mapper knows the kinds that add-ons are made of, so that no tenant is asked
// where they are.
func mapper() meta.RESTMapper {
	known := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"ServiceAccount", "ConfigMap", "Service"} {
		known.Add(corev1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeNamespace)
	}
	known.Add(appsv1.SchemeGroupVersion.WithKind("Deployment"), meta.RESTScopeNamespace)
	for _, kind := range []string{"ClusterRole", "ClusterRoleBinding"} {
		known.Add(rbacv1.SchemeGroupVersion.WithKind(kind), meta.RESTScopeRoot)
	}
	return known
}

// bounded cuts answers that are too long.
type bounded struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(request)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxResponse)
	}
	return response, err
}

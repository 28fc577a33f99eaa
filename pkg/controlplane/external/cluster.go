// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// requestTimeout bounds one request, from the name's lookup to the last byte.
	requestTimeout = 4 * time.Second
	// VisitTimeout bounds all requests of one visit together.
	VisitTimeout = 8 * time.Second
	// maxAnswer is the most that is read of one answer, in bytes.
	maxAnswer = 512 << 10
	// maxHeader is the most that is read of an answer's header, in bytes.
	maxHeader = 32 << 10
)

// Cluster is a connection to somebody else's API server, for one visit of one goroutine.
type Cluster struct {
	access    *Access
	dial      DialFunc
	transport *http.Transport
	tls       *tls.Config
}

// Connect prepares a visit; it sends nothing yet. Close the result.
func Connect(access *Access, dial DialFunc) (*Cluster, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(access.CA) {
		return nil, errors.New("the kubeconfig's authority is not a PEM certificate")
	}
	config := &tls.Config{RootCAs: roots, ServerName: access.ServerName, MinVersion: tls.VersionTLS12}
	if len(access.ClientCert) > 0 {
		pair, err := tls.X509KeyPair(access.ClientCert, access.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &Cluster{access: access, dial: dial, tls: config, transport: &http.Transport{
		DialContext: dial, TLSClientConfig: config, TLSHandshakeTimeout: dialTimeout,
		MaxResponseHeaderBytes: maxHeader, DisableCompression: true, ForceAttemptHTTP2: true,
	}}, nil
}

// Close ends the connections.
func (c *Cluster) Close() { c.transport.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper: it adds the credentials and bounds the answer.
func (c *Cluster) RoundTrip(request *http.Request) (*http.Response, error) {
	if c.access.Token != "" {
		request = request.Clone(request.Context())
		request.Header.Set("Authorization", "Bearer "+c.access.Token)
	}
	response, err := c.transport.RoundTrip(request)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	}
	return response, err
}

// statusError is an answer with another status than asked for. Its body is
// nobody's business: who can have vc-manager dial a server must not read through it.
type statusError int

// Error implements error.
func (e statusError) Error() string {
	return fmt.Sprintf("the server answers %d %s", int(e), http.StatusText(int(e)))
}

// get decodes the answer to a path. Redirects are answers like any other.
func (c *Cluster) get(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodGet, path, nil, into)
}

func (c *Cluster) post(ctx context.Context, path string, object, into any) error {
	content, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	return c.do(ctx, http.MethodPost, path, content, into)
}

func (c *Cluster) do(ctx context.Context, method, path string, content []byte, into any) error {
	body, err := c.raw(ctx, method, path, content)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return errNonsense
	}
	return nil
}

func (c *Cluster) raw(ctx context.Context, method, path string, content []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.access.Server.String()+path, bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("building a request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "vc-manager")
	response, err := c.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusCreated {
		return nil, statusError(response.StatusCode)
	}
	return io.ReadAll(response.Body)
}

// errNonsense is returned for an answer that an API server does not give.
var errNonsense = errors.New("it answers, but not as an API server does")

// refusal turns the error of a request into what people are told. It names a
// kind of trouble and never quotes: the words of errors are the server's, or
// name ports of ours.
func (c *Cluster) refusal(err error) error {
	var status statusError
	if errors.As(err, &status) && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
		return &RefusalError{tenancyv1alpha1.ReasonCredentialsRejected, fmt.Sprintf(
			"%s: %s: give credentials of an administrator that are still valid", c.access.Server, status)}
	}
	if errors.Is(err, errForbidden) {
		return invalid("server %s is not dialled: %s", c.access.Server, errForbidden)
	}
	return &RefusalError{tenancyv1alpha1.ReasonControlPlaneUnavailable, fmt.Sprintf("%s: %s", c.access.Server, trouble(err))}
}

func trouble(err error) string {
	var status statusError
	var unknown x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var unfit x509.CertificateInvalidError
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &status):
		return status.Error()
	case errors.As(err, &unknown):
		return "its certificate is not by certificate-authority-data: give the authority that certifies this server"
	case errors.As(err, &hostname):
		return "its certificate is for another host: name the server as its certificate does, or set tls-server-name"
	case errors.As(err, &unfit):
		return "its certificate is not valid (has it expired?)"
	case errors.Is(err, errNonsense), errors.As(err, &long):
		return errNonsense.Error()
	}
	return "no connection: the meta cluster must reach it"
}

func (c *Cluster) delete(ctx context.Context, path string, into any) error {
	return c.do(ctx, http.MethodDelete, path, nil, into)
}

func ignoreNotFound(err error) error {
	var status statusError
	if errors.As(err, &status) && status == http.StatusNotFound {
		return nil
	}
	return err
}

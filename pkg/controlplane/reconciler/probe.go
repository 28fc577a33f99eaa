// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// probeTimeout limits one probe.
	probeTimeout = 2 * time.Second
	// dialPatience is how long a probe waits for a connection before it tries
	// another. A connection that is begun in the moment in which the Service gets
	// its first endpoint is lost without an answer.
	dialPatience = 300 * time.Millisecond
)

// ProbeReadyz asks the API server at address (host:port) for /readyz, which it
// answers to anyone, and accepts no certificate but one that ca (PEM) signed
// for that host. It keeps no connection: the next probe must find the way anew.
func ProbeReadyz(ctx context.Context, address string, ca []byte) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("the control plane's authority is not a PEM certificate")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("building the request: %w", err)
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext:       dialAgain((&net.Dialer{}).DialContext, dialPatience),
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return withoutAddresses(err)
	}
	defer response.Body.Close()
	// The body names the checks that fail; a little of it is enough.
	body, err := io.ReadAll(io.LimitReader(response.Body, 512))
	if err != nil {
		return fmt.Errorf("reading /readyz: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s: %s", response.Status, body)
	}
	return nil
}

// ProbeServerName shakes hands with the API server at address (host:port) and
// accepts no certificate but one that ca (PEM) signed for name.
func ProbeServerName(ctx context.Context, address, name string, ca []byte) error {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return errors.New("the control plane's authority is not a PEM certificate")
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return withoutAddresses(err)
	}
	return connection.Close()
}

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialAgain dials a second time, for as long as ctx allows, where the first
// has no answer within patience. An answer that is a refusal is one.
func dialAgain(dial dialFunc, patience time.Duration) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		first, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		conn, err := dial(first, network, address)
		if err == nil || first.Err() == nil || ctx.Err() != nil {
			return conn, err
		}
		return dial(ctx, network, address)
	}
}

// withoutAddresses leaves out who talked to whom: our port is another one each
// time, and a condition whose message changes is a write.
func withoutAddresses(err error) error {
	var operation *net.OpError
	if errors.As(err, &operation) {
		return fmt.Errorf("%s: %w", operation.Op, operation.Err)
	}
	return err
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package tenantauth

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"sync"
)

// CertificateSource gives a certificate and key in PEM that may change, such as
// dynamiccertificates.CertKeyContentProvider.
type CertificateSource interface {
	// CurrentCertKeyContent returns the certificate chain and its key, in PEM.
	CurrentCertKeyContent() (cert, key []byte)
}

// Serving returns a GetCertificate that serves what source holds at the time
// of each handshake. Parsing happens once for each change.
func Serving(source CertificateSource) GetCertificate {
	cache := &servingCache{source: source}
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cache.get() }
}

type servingCache struct {
	source CertificateSource

	mu        sync.Mutex
	cert, key []byte
	parsed    *tls.Certificate
}

// get keeps serving the last good pair while the files hold a bad one, which
// happens when certificate and key are not replaced at the same instant.
func (c *servingCache) get() (*tls.Certificate, error) {
	cert, key := c.source.CurrentCertKeyContent()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parsed != nil && bytes.Equal(cert, c.cert) && bytes.Equal(key, c.key) {
		return c.parsed, nil
	}
	parsed, err := tls.X509KeyPair(cert, key)
	if err != nil {
		if c.parsed != nil {
			return c.parsed, nil
		}
		return nil, fmt.Errorf("loading the serving certificate: %w", err)
	}
	c.cert, c.key, c.parsed = cert, key, &parsed
	return c.parsed, nil
}

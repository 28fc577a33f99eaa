// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package tenantauth

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"

	"k8s.io/utils/clock"

	"virtualcluster.io/virtualcluster/pkg/names"
)

// ClientCommonName is the only name that a tenant's API server has here. A
// certificate of the right CA with another name is refused: the CA says which
// tenant, the name says that it is the API server's.
const ClientCommonName = "kube-apiserver-kubelet-client"

// ErrUnknownCaller is what Identify returns, with a reason, for a connection that belongs to no tenant.
var ErrUnknownCaller = errors.New("the client certificate belongs to no tenant")

// ErrAuthorityTaken is returned by Put for a CA that already stands for another tenant.
var ErrAuthorityTaken = errors.New("the CA already stands for another tenant")

// Authorities is the set of the tenants' kubelet client CAs. It is safe for
// concurrent use; the zero value is not usable, see NewAuthorities.
type Authorities struct {
	clock clock.PassiveClock

	mu      sync.RWMutex
	tenants map[string]*member      // by tenant id
	bySPKI  map[string]*authority   // by the CA's raw public key: one key, one tenant
	byKeyID map[string][]*authority // by subject key id, or by raw subject where the CA has none
}

// member is one tenant and all of its CAs.
type member struct {
	tenant names.Tenant
	pem    []byte
	cas    []*authority
	// gone is closed when the tenant is removed.
	gone chan struct{}
}

// authority is one CA certificate of one tenant.
type authority struct {
	owner *member
	cert  *x509.Certificate
	pool  *x509.CertPool
}

// NewAuthorities returns an empty set, which refuses everybody. Certificates'
// validity is judged by clk.
func NewAuthorities(clk clock.PassiveClock) *Authorities {
	return &Authorities{
		clock:   clk,
		tenants: map[string]*member{},
		bySPKI:  map[string]*authority{},
		byKeyID: map[string][]*authority{},
	}
}

// Put makes the CA certificates in caPEM (one, or two during a rotation) stand
// for tenant, in place of those it had. On an error nothing changes: a CA of
// another tenant is refused with ErrAuthorityTaken, because a caller could then
// be either.
func (a *Authorities) Put(tenant names.Tenant, caPEM []byte) error {
	certs, err := parseAuthorities(caPEM)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	m, known := a.tenants[tenant.ID]
	if known && m.tenant == tenant && bytes.Equal(m.pem, caPEM) {
		return nil
	}
	for _, cert := range certs {
		if taken, ok := a.bySPKI[string(cert.RawSubjectPublicKeyInfo)]; ok && taken.owner.tenant.ID != tenant.ID {
			return fmt.Errorf("tenant %s: %w", tenant.ID, ErrAuthorityTaken)
		}
	}
	if !known {
		m = &member{gone: make(chan struct{})}
		a.tenants[tenant.ID] = m
	}
	a.forget(m)
	m.tenant, m.pem = tenant, bytes.Clone(caPEM)
	for _, cert := range certs {
		a.remember(m, cert)
	}
	return nil
}

// Remove forgets a tenant: its certificates are refused from now on, and the
// channel Gone of its Callers is closed. Removing an unknown tenant does nothing.
func (a *Authorities) Remove(tenantID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, known := a.tenants[tenantID]
	if !known {
		return
	}
	a.forget(m)
	delete(a.tenants, tenantID)
	close(m.gone)
}

// Caller is a tenant's API server on a connection.
type Caller struct {
	// Tenant is whose API server calls.
	Tenant names.Tenant
	// Gone is closed when the tenant is removed; whatever is done for the caller then ends.
	Gone <-chan struct{}
}

// Identify returns whose API server is at the other end of a TLS connection.
// The error is ErrUnknownCaller, wrapped with the reason.
func (a *Authorities) Identify(state *tls.ConnectionState) (Caller, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return Caller{}, fmt.Errorf("no client certificate: %w", ErrUnknownCaller)
	}
	leaf := state.PeerCertificates[0]
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, candidate := range a.byKeyID[issuerKey(leaf)] {
		if !candidate.issued(leaf, a.clock) {
			continue
		}
		if leaf.Subject.CommonName != ClientCommonName {
			return Caller{}, fmt.Errorf("common name is not %s: %w", ClientCommonName, ErrUnknownCaller)
		}
		return Caller{Tenant: candidate.owner.tenant, Gone: candidate.owner.gone}, nil
	}
	return Caller{}, fmt.Errorf("issued by no tenant's CA: %w", ErrUnknownCaller)
}

// issued verifies leaf against this CA alone. Certificates that the caller sent
// beside the leaf are not used: these CAs issue leaves only.
func (c *authority) issued(leaf *x509.Certificate, clk clock.PassiveClock) bool {
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots:       c.pool,
		CurrentTime: clk.Now(),
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return err == nil
}

func (a *Authorities) remember(m *member, cert *x509.Certificate) {
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	ca := &authority{owner: m, cert: cert, pool: pool}
	m.cas = append(m.cas, ca)
	a.bySPKI[string(cert.RawSubjectPublicKeyInfo)] = ca
	for _, key := range subjectKeys(cert) {
		a.byKeyID[key] = append(a.byKeyID[key], ca)
	}
}

func (a *Authorities) forget(m *member) {
	for _, ca := range m.cas {
		delete(a.bySPKI, string(ca.cert.RawSubjectPublicKeyInfo))
		for _, key := range subjectKeys(ca.cert) {
			a.byKeyID[key] = without(a.byKeyID[key], ca)
			if len(a.byKeyID[key]) == 0 {
				delete(a.byKeyID, key)
			}
		}
	}
	m.cas = nil
}

func without(list []*authority, ca *authority) []*authority {
	kept := make([]*authority, 0, len(list))
	for _, other := range list {
		if other != ca {
			kept = append(kept, other)
		}
	}
	return kept
}

// issuerKey says under which key the issuer of a leaf is found. What it reads
// was written by whoever made the certificate, so it selects candidates only;
// the signature decides.
func issuerKey(leaf *x509.Certificate) string {
	if len(leaf.AuthorityKeyId) > 0 {
		return "id:" + string(leaf.AuthorityKeyId)
	}
	return "name:" + string(leaf.RawIssuer)
}

// subjectKeys are the keys by which issuerKey finds a CA. The name is used
// only for CAs without a key id: many tenants' CAs may bear the same name, and
// a stranger must not be able to ask for a comparison with all of them.
func subjectKeys(ca *x509.Certificate) []string {
	if len(ca.SubjectKeyId) > 0 {
		return []string{"id:" + string(ca.SubjectKeyId)}
	}
	return []string{"name:" + string(ca.RawSubject)}
}

func parseAuthorities(caPEM []byte) ([]*x509.Certificate, error) {
	var certs []*x509.Certificate
	for rest := caPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("parsing kubelet client CA: PEM block %q is not a certificate", block.Type)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parsing kubelet client CA: %w", err)
		}
		if !cert.IsCA {
			return nil, errors.New("parsing kubelet client CA: the certificate is not a CA's")
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, errors.New("parsing kubelet client CA: no certificate found")
	}
	return certs, nil
}

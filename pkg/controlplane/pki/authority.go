// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

const (
	// AuthorityTTL is how long a certificate authority is valid.
	AuthorityTTL = 10 * 365 * 24 * time.Hour
	// LeafTTL is how long a leaf is valid whose Leaf.TTL is zero.
	LeafTTL = 365 * 24 * time.Hour
	// backdate is how long before its making a certificate becomes valid, for
	// readers whose clocks are behind.
	backdate = 5 * time.Minute
)

const (
	blockCertificate = "CERTIFICATE"
	blockECKey       = "EC PRIVATE KEY"
	blockPublicKey   = "PUBLIC KEY"
)

// Authority is a certificate authority: its certificate and private key
// (ECDSA P-256). It is immutable.
type Authority struct {
	cert            *x509.Certificate
	key             *ecdsa.PrivateKey
	certPEM, keyPEM []byte
}

// NewAuthority makes a self-signed authority that is valid for AuthorityTTL and
// may sign leaves only. commonName must be unique to the authority (it should
// hold the tenant id): verifiers look issuers up by it.
func NewAuthority(commonName string, now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of authority %q: %w", commonName, err)
	}
	template := &x509.Certificate{
		// The serial number is left out: crypto/x509 draws a random one.
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(AuthorityTTL),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("signing authority %q: %w", commonName, err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return ParseAuthority(pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der}), keyPEM)
}

// ParseAuthority reads what CertPEM and KeyPEM returned. It is an error if the
// two do not belong together or the certificate may not sign others.
func ParseAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("parsing an authority's certificate: %w", err)
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("parsing the key of authority %q: %w", cert.Subject.CommonName, err)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("certificate %q is not of an authority", cert.Subject.CommonName)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("the key and the certificate of authority %q do not belong together", cert.Subject.CommonName)
	}
	return &Authority{cert: cert, key: key, certPEM: certPEM, keyPEM: keyPEM}, nil
}

// CertPEM returns the authority's certificate, which is public.
func (a *Authority) CertPEM() []byte { return a.certPEM }

// KeyPEM returns the authority's private key.
func (a *Authority) KeyPEM() []byte { return a.keyPEM }

// Certificate returns the parsed certificate. The caller must not modify it.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

func parseCertificate(certPEM []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil || block.Type != blockCertificate {
		return nil, errors.New("no PEM block of type " + blockCertificate)
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(keyPEM []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(keyPEM)
	if block == nil || block.Type != blockECKey {
		return nil, errors.New("no PEM block of type " + blockECKey)
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockECKey, Bytes: der}), nil
}

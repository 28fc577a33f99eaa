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
	"fmt"
	"net"
	"slices"
	"time"
)

// Leaf says what a certificate is for.
type Leaf struct {
	// CommonName and Organizations are the subject: to an API server, user and groups.
	CommonName    string
	Organizations []string
	// DNSNames and IPs are the subject alternative names of a server.
	DNSNames []string
	IPs      []net.IP
	// Usages is what the certificate may be used for; it must not be empty.
	Usages []x509.ExtKeyUsage
	// TTL is how long it is valid. Zero means LeafTTL. It never outlives its authority.
	TTL time.Duration
}

// Issue makes a new key (ECDSA P-256) and signs a certificate for it.
func (a *Authority) Issue(leaf Leaf, now time.Time) (certPEM, keyPEM []byte, err error) {
	if len(leaf.Usages) == 0 {
		return nil, nil, fmt.Errorf("issuing certificate %q: Usages must not be empty", leaf.CommonName)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generating the key of certificate %q: %w", leaf.CommonName, err)
	}
	ttl := leaf.TTL
	if ttl == 0 {
		ttl = LeafTTL
	}
	notAfter := now.Add(ttl)
	if notAfter.After(a.cert.NotAfter) {
		notAfter = a.cert.NotAfter
	}
	template := &x509.Certificate{
		// The serial number is left out: crypto/x509 draws a random one.
		Subject:               pkix.Name{CommonName: leaf.CommonName, Organization: leaf.Organizations},
		DNSNames:              leaf.DNSNames,
		IPAddresses:           leaf.IPs,
		NotBefore:             now.Add(-backdate),
		NotAfter:              notAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           leaf.Usages,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("signing certificate %q: %w", leaf.CommonName, err)
	}
	if keyPEM, err = encodeKey(key); err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockCertificate, Bytes: der}), keyPEM, nil
}

// Ensure returns the pair given if Keeps says that it is still good, and else
// issues a new one.
func (a *Authority) Ensure(certPEM, keyPEM []byte, leaf Leaf, now time.Time) (newCertPEM, newKeyPEM []byte, err error) {
	if a.Keeps(certPEM, keyPEM, leaf, now) {
		return certPEM, keyPEM, nil
	}
	return a.Issue(leaf, now)
}

// Keeps reports whether a pair issued earlier still serves as leaf: it was
// signed by this authority, has exactly leaf's subject, names and usages, its
// key fits, and less than two thirds of its life have passed, or of leaf's TTL
// where that is shorter by now. It is false for anything that cannot be read.
func (a *Authority) Keeps(certPEM, keyPEM []byte, leaf Leaf, now time.Time) bool {
	cert, err := parseCertificate(certPEM)
	if err != nil {
		return false
	}
	key, err := parseKey(keyPEM)
	if err != nil || !key.PublicKey.Equal(cert.PublicKey) {
		return false
	}
	if cert.CheckSignatureFrom(a.cert) != nil || !now.Before(RenewAt(cert, leaf.TTL)) || now.Before(cert.NotBefore) {
		return false
	}
	return describes(cert, leaf)
}

// RenewAt returns when cert has lived two thirds of its life, or of the life
// that one would get that is made with ttl, if that is sooner. Zero means LeafTTL.
func RenewAt(cert *x509.Certificate, ttl time.Duration) time.Time {
	if ttl == 0 {
		ttl = LeafTTL
	}
	return cert.NotBefore.Add(min(cert.NotAfter.Sub(cert.NotBefore), ttl+backdate) / 3 * 2)
}

// describes reports whether cert says about its holder what leaf says; order does not matter.
func describes(cert *x509.Certificate, leaf Leaf) bool {
	return cert.Subject.CommonName == leaf.CommonName &&
		sameSet(cert.Subject.Organization, leaf.Organizations) &&
		sameSet(cert.DNSNames, leaf.DNSNames) &&
		sameSet(ipStrings(cert.IPAddresses), ipStrings(leaf.IPs)) &&
		sameSet(cert.ExtKeyUsage, leaf.Usages)
}

func ipStrings(ips []net.IP) []string {
	out := make([]string, 0, len(ips))
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return out
}

func sameSet[T interface{ ~string | ~int }](a, b []T) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

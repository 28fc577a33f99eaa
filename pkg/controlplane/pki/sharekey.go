// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/x509"
	"encoding/pem"
)

// ShareKey reports whether two bundles (PEM) hold certificates of the same
// public key. What is not a certificate is passed over.
func ShareKey(a, b []byte) bool {
	keys := map[string]bool{}
	for _, cert := range certificatesIn(a) {
		keys[string(cert.RawSubjectPublicKeyInfo)] = true
	}
	for _, cert := range certificatesIn(b) {
		if keys[string(cert.RawSubjectPublicKeyInfo)] {
			return true
		}
	}
	return false
}

func certificatesIn(content []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
	return certs
}

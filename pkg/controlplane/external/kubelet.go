// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"time"
)

// Endorsed reports, with nil, whether the authorities caPEM, by whose
// certificates vn-agent would know a tenant's API server, endorse the virtual
// cluster: for each of them, proofPEM holds a certificate by it with the common
// name namespace/name. An authority's certificate is no secret. Without the
// proof anybody could name the authority of somebody else's cluster, and that
// cluster's API server would be served with the pods of another tenant.
func Endorsed(caPEM, proofPEM []byte, virtualCluster string, now time.Time) error {
	authorities, ok := certificates(caPEM)
	if !ok || len(authorities) == 0 {
		return errors.New("it must hold certificates (PEM) and nothing else")
	}
	proofs, ok := certificates(proofPEM)
	if !ok || len(proofs) == 0 {
		return errors.New("the proof is missing or not a certificate (PEM)")
	}
	for _, authority := range authorities {
		endorses := func(proof *x509.Certificate) bool { return endorses(authority, proof, virtualCluster, now) }
		if !slices.ContainsFunc(proofs, endorses) {
			return errors.New("the proof is not a valid certificate of that authority for " + virtualCluster)
		}
	}
	return nil
}

func endorses(authority, proof *x509.Certificate, virtualCluster string, now time.Time) bool {
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	_, err := proof.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err == nil && proof.Subject.CommonName == virtualCluster && authority.IsCA
}

// certificates parses PEM that must hold nothing but certificates.
func certificates(content []byte) (out []*x509.Certificate, ok bool) {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || block.Type != "CERTIFICATE" {
			return nil, false
		}
		out = append(out, cert)
	}
	return out, true
}

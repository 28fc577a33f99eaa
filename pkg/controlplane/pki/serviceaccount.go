// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

// NewServiceAccountKey makes the key pair that signs and verifies service
// account tokens: ECDSA P-256 (ES256). publicPEM is in the form that
// --service-account-key-file takes; several may be concatenated.
func NewServiceAccountKey() (privatePEM, publicPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generating the service account key: %w", err)
	}
	if privatePEM, err = encodeKey(key); err != nil {
		return nil, nil, err
	}
	if publicPEM, err = publicKey(privatePEM); err != nil {
		return nil, nil, err
	}
	return privatePEM, publicPEM, nil
}

// publicKey returns the public half of a private key, both PEM.
func publicKey(privatePEM []byte) ([]byte, error) {
	key, err := parseKey(privatePEM)
	if err != nil {
		return nil, fmt.Errorf("parsing the service account key: %w", err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encoding the service account key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockPublicKey, Bytes: der}), nil
}

// publicKeys returns the public halves of the service account keys of generations.
func publicKeys(generations []*Authorities) ([]byte, error) {
	var out []byte
	for _, authorities := range generations {
		public, err := publicKey(authorities.ServiceAccountKey)
		if err != nil {
			return nil, err
		}
		out = append(out, public...)
	}
	return out, nil
}

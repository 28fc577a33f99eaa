// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"crypto/x509"
	"time"
)

// Created returns when a generation was made, by the clock of its maker and to
// the second: the latest of its authorities counts.
func (a *Authorities) Created() time.Time {
	var latest time.Time
	for _, cert := range a.Certificates() {
		if made := cert.NotBefore.Add(backdate); made.After(latest) {
			latest = made
		}
	}
	return latest
}

// RenewAt returns when the first of the authorities has lived two thirds of its life.
func (a *Authorities) RenewAt() time.Time {
	var first time.Time
	for _, cert := range a.Certificates() {
		if at := RenewAt(cert, AuthorityTTL); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first
}

// Certificates returns the authorities' certificates by name ("server-ca"). The
// caller must not modify them.
func (a *Authorities) Certificates() map[string]*x509.Certificate {
	out := map[string]*x509.Certificate{}
	for name, slot := range a.slots() {
		out[name] = (*slot).Certificate()
	}
	return out
}

// Signs reports whether it is this generation that signs tokens with files,
// which ControlPlaneFiles returned.
func (a *Authorities) Signs(files map[string][]byte) bool {
	return bytes.Equal(files[FileServiceAccountKey], a.ServiceAccountKey)
}

// TrustedBy reports whether this generation is among those that files, which
// ControlPlaneFiles returned, accept.
func (a *Authorities) TrustedBy(files map[string][]byte) bool {
	return bytes.Contains(files[FileServerCA], a.Server.CertPEM())
}

// ServerBundle returns the certificates (PEM) of the authorities of servers, in
// the order of generations: what a client of the control plane has to trust.
func ServerBundle(generations []*Authorities) []byte {
	return bundle(generations, func(a *Authorities) *Authority { return a.Server })
}

// UserBundle is the same of the authorities of users.
func UserBundle(generations []*Authorities) []byte {
	return bundle(generations, func(a *Authorities) *Authority { return a.User })
}

// PlatformClientBundle is the same of the authorities of the platform's clients.
func PlatformClientBundle(generations []*Authorities) []byte {
	return bundle(generations, func(a *Authorities) *Authority { return a.PlatformClient })
}

// RequestHeaderBundle is the same of the front proxy's authorities.
func RequestHeaderBundle(generations []*Authorities) []byte {
	return bundle(generations, func(a *Authorities) *Authority { return a.RequestHeader })
}

// KubeletClientBundle is the same of the authorities by which kubelets know the API server.
func KubeletClientBundle(generations []*Authorities) []byte {
	return bundle(generations, func(a *Authorities) *Authority { return a.KubeletClient })
}

// EtcdBundle is the same of etcd's authorities.
func EtcdBundle(generations []*Authorities) []byte {
	return bundle(generations, func(a *Authorities) *Authority { return a.Etcd })
}

func bundle(generations []*Authorities, of func(*Authorities) *Authority) []byte {
	var out []byte
	for _, authorities := range generations {
		out = append(out, of(authorities).CertPEM()...)
	}
	return out
}

// ParseCertificate reads the first certificate of a PEM text.
func ParseCertificate(certPEM []byte) (*x509.Certificate, error) { return parseCertificate(certPEM) }

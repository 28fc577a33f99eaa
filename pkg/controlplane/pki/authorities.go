// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"fmt"
	"time"
)

// Authorities are everything of a control plane that is made exactly once: one
// authority for each relation of trust, and the service account key.
type Authorities struct {
	// Server signs the API server's serving certificate; clients pin it.
	Server *Authority
	// User signs the certificates of the control plane's users. The control
	// plane's certificate signing request controller holds its key.
	User *Authority
	// PlatformClient signs the certificates of the platform's own clients.
	PlatformClient *Authority
	// RequestHeader signs the front proxy's certificate (API aggregation).
	RequestHeader *Authority
	// KubeletClient signs the certificate by which the API server is known to
	// kubelets; vn-agent knows the tenant by this authority.
	KubeletClient *Authority
	// Etcd signs the certificates of etcd's members.
	Etcd *Authority
	// ServiceAccountKey is the PEM private key that signs service account tokens.
	ServiceAccountKey []byte
}

// keyServiceAccount is the entry of Authorities.ServiceAccountKey in Data.
const keyServiceAccount = "service-account.key"

// NewAuthorities makes all authorities of one control plane. id makes their
// names unique: the tenant id, at most 40 characters.
func NewAuthorities(id string, now time.Time) (*Authorities, error) {
	authorities := &Authorities{}
	for name, slot := range authorities.slots() {
		authority, err := NewAuthority("vc-"+name+":"+id, now)
		if err != nil {
			return nil, err
		}
		*slot = authority
	}
	var err error
	authorities.ServiceAccountKey, _, err = NewServiceAccountKey()
	if err != nil {
		return nil, err
	}
	return authorities, nil
}

// ParseAuthorities reads what Data returned. It is an error if any part is missing or broken.
func ParseAuthorities(data map[string][]byte) (*Authorities, error) {
	authorities := &Authorities{ServiceAccountKey: data[keyServiceAccount]}
	for name, slot := range authorities.slots() {
		authority, err := ParseAuthority(data[name+".crt"], data[name+".key"])
		if err != nil {
			return nil, fmt.Errorf("reading authority %q: %w", name, err)
		}
		*slot = authority
	}
	if _, err := publicKey(authorities.ServiceAccountKey); err != nil {
		return nil, err
	}
	return authorities, nil
}

// Data returns everything as the data of a Secret. It is all that is needed to
// act as the control plane: whoever can read it is the control plane's owner.
func (a *Authorities) Data() map[string][]byte {
	data := map[string][]byte{keyServiceAccount: a.ServiceAccountKey}
	for name, slot := range a.slots() {
		data[name+".crt"] = (*slot).CertPEM()
		data[name+".key"] = (*slot).KeyPEM()
	}
	return data
}

// slots names every authority; the names are keys of Data and part of common names.
func (a *Authorities) slots() map[string]**Authority {
	return map[string]**Authority{
		"server-ca":          &a.Server,
		"user-ca":            &a.User,
		"platform-client-ca": &a.PlatformClient,
		"requestheader-ca":   &a.RequestHeader,
		"kubelet-client-ca":  &a.KubeletClient,
		"etcd-ca":            &a.Etcd,
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// pki is the directory of the control plane's certificates and keys, in PEM.
//
// There is a CA for each audience, because with one CA for all a tenant, who
// may have certificates signed (the CSR API), could mint an etcd client, a
// front proxy, or another tenant's kubelet client.
type pki string

// Files of the directory. A name without a comment is the certificate or key
// that its name says.
const (
	fileServingCert        = "serving.crt"
	fileServingKey         = "serving.key"
	fileServerCA           = "server-ca.crt" // issued serving.crt; published as kube-root-ca.crt
	fileUserCA             = "user-ca.crt"   // signs certificate requests of tenant users
	fileUserCAKey          = "user-ca.key"
	fileClientCA           = "client-ca.crt" // bundle: the user CA and the platform clients' CA
	fileControllersCert    = "controller-manager.crt"
	fileControllersKey     = "controller-manager.key"
	fileRequestHeaderCA    = "requestheader-ca.crt"
	fileFrontProxyCert     = "front-proxy.crt"
	fileFrontProxyKey      = "front-proxy.key"
	fileKubeletClientCert  = "kubelet-client.crt" // from a CA that only kubelets and vn-agent trust
	fileKubeletClientKey   = "kubelet-client.key"
	fileKubeletServingCA   = "kubelet-serving-ca.crt"
	fileEtcdCA             = "etcd-ca.crt"
	fileEtcdPeerCert       = "etcd-peer.crt"
	fileEtcdPeerKey        = "etcd-peer.key"
	fileServiceAccountKey  = "service-account.key" // signs
	fileServiceAccountKeys = "service-account.pub" // verifies: may hold several keys while one is rotated
	fileEncryptionKeys     = "encryption.keys"     // of Secrets at rest; see encryption.go
)

// reading says when a file of the directory that changed takes effect. Zero:
// within seconds, without a restart.
type reading int

const (
	// inMinutes: on the first use five minutes after the last look, without a
	// restart (client-go's ClientsAllowCARotation).
	inMinutes reading = iota + 1
	// atStart: the file is read once. Whoever changes it starts the process again.
	atStart
)

// pkiFile is what is to be known about a file of the directory.
type pkiFile struct {
	name     string
	reading  reading
	optional bool
}

// pkiFiles are all files of the directory.
//
// Whoever writes the directory starts the process again when a file with
// atStart changes, and only then: server-ca.crt (the controllers publish what
// they read first), etcd-ca.crt, service-account.key, service-account.pub and
// encryption.keys. Every leaf, every bundle that clients are checked against,
// and the authority that signs certificate requests are read again while the
// process runs; the test that replaces them under load is in
// test/integration/hardening.
//
// The files must change together, as the kubelet changes a mounted Secret: a
// pair is two files, and what reads between two renames sees no pair.
var pkiFiles = []pkiFile{
	{name: fileServingCert}, {name: fileServingKey},
	{name: fileServerCA, reading: atStart},
	{name: fileUserCA}, {name: fileUserCAKey},
	{name: fileClientCA},
	{name: fileControllersCert}, {name: fileControllersKey},
	{name: fileRequestHeaderCA},
	{name: fileFrontProxyCert}, {name: fileFrontProxyKey},
	{name: fileKubeletClientCert}, {name: fileKubeletClientKey},
	{name: fileKubeletServingCA, reading: inMinutes},
	{name: fileEtcdCA, reading: atStart},
	{name: fileEtcdPeerCert}, {name: fileEtcdPeerKey},
	{name: fileServiceAccountKey, reading: atStart}, {name: fileServiceAccountKeys, reading: atStart},
	{name: fileEncryptionKeys, reading: atStart, optional: true},
}

func (p pki) path(file string) string { return filepath.Join(string(p), file) }

// check reports every file that is missing or cannot be read, in one error.
func (p pki) check() error {
	var errs []error
	for _, file := range pkiFiles {
		handle, err := os.Open(p.path(file.name))
		if errors.Is(err, fs.ErrNotExist) {
			if file.optional {
				continue
			}
			err = fmt.Errorf("--pki-dir: %s is missing", p.path(file.name))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, handle.Close())
	}
	return errors.Join(errs...)
}

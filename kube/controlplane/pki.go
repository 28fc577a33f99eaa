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
)

func (p pki) path(file string) string { return filepath.Join(string(p), file) }

// check reports every file that is missing or cannot be read, in one error.
func (p pki) check() error {
	var errs []error
	for _, file := range []string{
		fileServingCert, fileServingKey, fileServerCA, fileUserCA, fileUserCAKey, fileClientCA,
		fileControllersCert, fileControllersKey, fileRequestHeaderCA, fileFrontProxyCert, fileFrontProxyKey,
		fileKubeletClientCert, fileKubeletClientKey, fileKubeletServingCA,
		fileEtcdCA, fileEtcdPeerCert, fileEtcdPeerKey, fileServiceAccountKey, fileServiceAccountKeys,
	} {
		handle, err := os.Open(p.path(file))
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("--pki-dir: %s is missing", p.path(file))
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, handle.Close())
	}
	return errors.Join(errs...)
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"crypto/x509"
	"net"
	"path"
	"slices"
	"strings"
	"time"
)

// Names of the files in the control plane process's --pki-dir, all PEM.
const (
	// FileServingCert and FileServingKey: the API server's serving pair.
	FileServingCert = "serving.crt"
	FileServingKey  = "serving.key"
	// FileServerCA signed FileServingCert; published as kube-root-ca.crt. It
	// holds one authority of each generation, as all files of authorities do
	// that have no key beside them.
	FileServerCA = "server-ca.crt"
	// FileUserCACert and FileUserCAKey: the authority of users, which answers
	// certificate signing requests.
	FileUserCACert = "user-ca.crt"
	FileUserCAKey  = "user-ca.key"
	// FileClientCA: the authorities of clients, users' first, then the platform's.
	FileClientCA = "client-ca.crt"
	// FileControllerManagerCert and FileControllerManagerKey: the controllers' client pair.
	FileControllerManagerCert = "controller-manager.crt"
	FileControllerManagerKey  = "controller-manager.key"
	// FileRequestHeaderCA signed FileFrontProxyCert.
	FileRequestHeaderCA = "requestheader-ca.crt"
	// FileFrontProxyCert and FileFrontProxyKey: the aggregation layer's client pair.
	FileFrontProxyCert = "front-proxy.crt"
	FileFrontProxyKey  = "front-proxy.key"
	// FileKubeletClientCert and FileKubeletClientKey: the API server's client pair for kubelets.
	FileKubeletClientCert = "kubelet-client.crt"
	FileKubeletClientKey  = "kubelet-client.key"
	// FileKubeletServingCA verifies kubelets (a tenant's kubelet is vn-agent).
	FileKubeletServingCA = "kubelet-serving-ca.crt"
	// FileEtcdCA signed FileEtcdPeerCert.
	FileEtcdCA = "etcd-ca.crt"
	// FileEtcdPeerCert and FileEtcdPeerKey: the pair of an etcd member.
	FileEtcdPeerCert = "etcd-peer.crt"
	FileEtcdPeerKey  = "etcd-peer.key"
	// FileServiceAccountKey signs service account tokens.
	FileServiceAccountKey = "service-account.key"
	// FileServiceAccountPub verifies them; it may hold several keys.
	FileServiceAccountPub = "service-account.pub"
	// FileEncryptionKeys encrypts Secrets at rest; see NewEncryptionKeys. It is
	// there only if FilesInput.EncryptionKeys is.
	FileEncryptionKeys = "encryption.keys"
)

// FilesInput is what ControlPlaneFiles works from.
type FilesInput struct {
	// Signing is the generation that signs leaves, users' certificate requests
	// and service account tokens.
	Signing *Authorities
	// Serving is the generation that signs FileServingCert. Nil means Signing.
	// In a rotation it is the oldest that is trusted: a client that was given
	// its authorities before the rotation knows no other.
	Serving *Authorities
	// Trusted are the generations whose certificates and tokens are accepted, in
	// an order that stays the same. Empty means Signing alone.
	Trusted []*Authorities
	// LeafTTL is how long leaves live. Zero means the constant LeafTTL.
	LeafTTL time.Duration
	// EncryptionKeys is FileEncryptionKeys. Nil means no such file.
	EncryptionKeys []byte
	// ServingDNSNames and ServingIPs are by what clients call the API server.
	ServingDNSNames []string
	ServingIPs      []net.IP
	// PeerDNSNames are by what the members of the database call each other.
	PeerDNSNames []string
	// KubeletServingCA (PEM) verifies the kubelets that the API server calls.
	KubeletServingCA []byte
	// Existing are the files made earlier; leaves that are still good are kept.
	Existing map[string][]byte
}

// filePair is a leaf, the files it goes to and who signs it.
type filePair struct {
	cert, key string
	authority *Authority
	leaf      Leaf
}

// ControlPlaneFiles returns every file of --pki-dir by name. It is idempotent:
// with its own result as Existing it returns the same bytes until a leaf has
// lived two thirds of its life, its names change, or another generation signs.
func ControlPlaneFiles(in FilesInput, now time.Time) (map[string][]byte, error) {
	if in.Serving == nil {
		in.Serving = in.Signing
	}
	if len(in.Trusted) == 0 {
		in.Trusted = []*Authorities{in.Signing}
	}
	public, err := publicKeys(in.Trusted)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		FileServerCA:          ServerBundle(in.Trusted),
		FileUserCACert:        in.Signing.User.CertPEM(),
		FileUserCAKey:         in.Signing.User.KeyPEM(),
		FileClientCA:          slices.Concat(UserBundle(in.Trusted), PlatformClientBundle(in.Trusted)),
		FileRequestHeaderCA:   RequestHeaderBundle(in.Trusted),
		FileKubeletServingCA:  bytes.Clone(in.KubeletServingCA),
		FileEtcdCA:            EtcdBundle(in.Trusted),
		FileServiceAccountKey: in.Signing.ServiceAccountKey,
		FileServiceAccountPub: public,
	}
	if in.EncryptionKeys != nil {
		files[FileEncryptionKeys] = bytes.Clone(in.EncryptionKeys)
	}
	for _, pair := range pairs(in) {
		pair.leaf.TTL = in.LeafTTL
		files[pair.cert], files[pair.key], err = pair.authority.Ensure(in.Existing[pair.cert], in.Existing[pair.key], pair.leaf, now)
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Leaves returns the names of the leaves among the files: a leaf NAME is in the
// files NAME.crt and NAME.key. The process reads them again by itself when they
// change; every other file, at its start only.
func Leaves() []string {
	return []string{"controller-manager", "etcd-peer", "front-proxy", "kubelet-client", "serving"}
}

// IsLeaf reports whether a file is a leaf's certificate or key.
func IsLeaf(file string) bool {
	extension := path.Ext(file)
	return (extension == ".crt" || extension == ".key") && slices.Contains(Leaves(), strings.TrimSuffix(file, extension))
}

func pairs(in FilesInput) []filePair {
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return []filePair{
		{FileServingCert, FileServingKey, in.Serving.Server, Leaf{
			CommonName: "kube-apiserver", DNSNames: in.ServingDNSNames, IPs: in.ServingIPs, Usages: server,
		}},
		{FileControllerManagerCert, FileControllerManagerKey, in.Signing.PlatformClient, Leaf{
			CommonName: "system:kube-controller-manager", Usages: client,
		}},
		{FileFrontProxyCert, FileFrontProxyKey, in.Signing.RequestHeader, Leaf{
			CommonName: "front-proxy-client", Usages: client,
		}},
		{FileKubeletClientCert, FileKubeletClientKey, in.Signing.KubeletClient, Leaf{
			CommonName: "kube-apiserver-kubelet-client", Usages: client,
		}},
		{FileEtcdPeerCert, FileEtcdPeerKey, in.Signing.Etcd, Leaf{
			CommonName: "etcd-peer", DNSNames: append([]string{"localhost"}, in.PeerDNSNames...), IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
			Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}},
	}
}

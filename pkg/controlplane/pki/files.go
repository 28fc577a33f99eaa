// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"crypto/x509"
	"net"
	"slices"
	"time"
)

// Names of the files in the control plane process's --pki-dir, all PEM.
const (
	// FileServingCert and FileServingKey: the API server's serving pair.
	FileServingCert = "serving.crt"
	FileServingKey  = "serving.key"
	// FileServerCA signed FileServingCert; published as kube-root-ca.crt.
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
)

// FilesInput is what ControlPlaneFiles works from.
type FilesInput struct {
	// Authorities of the control plane.
	Authorities *Authorities
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
// lived two thirds of its life or its names change.
func ControlPlaneFiles(in FilesInput, now time.Time) (map[string][]byte, error) {
	authorities := in.Authorities
	public, err := publicKey(authorities.ServiceAccountKey)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{
		FileServerCA:          authorities.Server.CertPEM(),
		FileUserCACert:        authorities.User.CertPEM(),
		FileUserCAKey:         authorities.User.KeyPEM(),
		FileClientCA:          slices.Concat(authorities.User.CertPEM(), authorities.PlatformClient.CertPEM()),
		FileRequestHeaderCA:   authorities.RequestHeader.CertPEM(),
		FileKubeletServingCA:  bytes.Clone(in.KubeletServingCA),
		FileEtcdCA:            authorities.Etcd.CertPEM(),
		FileServiceAccountKey: authorities.ServiceAccountKey,
		FileServiceAccountPub: public,
	}
	for _, pair := range pairs(in) {
		files[pair.cert], files[pair.key], err = pair.authority.Ensure(in.Existing[pair.cert], in.Existing[pair.key], pair.leaf, now)
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func pairs(in FilesInput) []filePair {
	server := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return []filePair{
		{FileServingCert, FileServingKey, in.Authorities.Server, Leaf{
			CommonName: "kube-apiserver", DNSNames: in.ServingDNSNames, IPs: in.ServingIPs, Usages: server,
		}},
		{FileControllerManagerCert, FileControllerManagerKey, in.Authorities.PlatformClient, Leaf{
			CommonName: "system:kube-controller-manager", Usages: client,
		}},
		{FileFrontProxyCert, FileFrontProxyKey, in.Authorities.RequestHeader, Leaf{
			CommonName: "front-proxy-client", Usages: client,
		}},
		{FileKubeletClientCert, FileKubeletClientKey, in.Authorities.KubeletClient, Leaf{
			CommonName: "kube-apiserver-kubelet-client", Usages: client,
		}},
		{FileEtcdPeerCert, FileEtcdPeerKey, in.Authorities.Etcd, Leaf{
			CommonName: "etcd-peer", DNSNames: append([]string{"localhost"}, in.PeerDNSNames...), IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
			Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}},
	}
}

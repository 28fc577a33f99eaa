// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// user is a client of the API with a kubeconfig of its own.
type user struct {
	file, name string
	groups     []string
}

// users are the clients that Up makes kubeconfigs for, with the file in the cluster's folder.
func users() []user {
	return []user{
		{file: "kubeconfig", name: "admin", groups: []string{"system:masters"}},
		{file: "etc/scheduler.kubeconfig", name: "system:kube-scheduler"},
		{file: "etc/proxy.kubeconfig", name: "system:kube-proxy"},
		{file: "etc/kubelet.kubeconfig", name: "system:node:" + NodeName, groups: []string{"system:nodes"}},
	}
}

// writeCertificates makes authorities, certificates and kubeconfigs below the
// cluster's folder, once: a cluster that has them keeps them.
func writeCertificates(l layout, s *state, now time.Time) (changed bool, err error) {
	if _, err := os.Stat(l.kubeconfig()); err == nil {
		return false, nil
	}
	authorities, err := pki.NewAuthorities(l.id(), now)
	if err != nil {
		return false, fmt.Errorf("making the authorities: %w", err)
	}
	kubeletServing, err := pki.NewAuthority("vc-kubelet-serving-ca:"+l.id(), now)
	if err != nil {
		return false, fmt.Errorf("making the kubelet's authority: %w", err)
	}
	files, err := pki.ControlPlaneFiles(pki.FilesInput{
		Signing:          authorities,
		ServingDNSNames:  servingNames(),
		ServingIPs:       []net.IP{s.NodeIP.AsSlice(), net.ParseIP(kubernetesIP), net.IPv4(127, 0, 0, 1)},
		KubeletServingCA: kubeletServing.CertPEM(),
	}, now)
	if err != nil {
		return false, fmt.Errorf("making the control plane's certificates: %w", err)
	}
	for name, content := range files {
		if err := writeFile(l.path("pki", name), content, 0o600); err != nil {
			return false, err
		}
	}
	if err := writeKubeletPair(l, s, authorities, kubeletServing, now); err != nil {
		return false, err
	}
	return true, writeKubeconfigs(l, s, authorities, now)
}

func servingNames() []string {
	return []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + clusterDomain,
		"localhost",
	}
}

func writeKubeletPair(l layout, s *state, authorities *pki.Authorities, serving *pki.Authority, now time.Time) error {
	cert, key, err := serving.Issue(pki.Leaf{
		CommonName: "system:node:" + NodeName, Organizations: []string{"system:nodes"},
		DNSNames: []string{NodeName}, IPs: []net.IP{s.NodeIP.AsSlice()},
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, TTL: pki.AuthorityTTL,
	}, now)
	if err != nil {
		return fmt.Errorf("making the kubelet's certificate: %w", err)
	}
	for name, content := range map[string][]byte{
		"kubelet.crt": cert, "kubelet.key": key, "kubelet-client-ca.crt": authorities.KubeletClient.CertPEM(),
	} {
		if err := writeFile(l.path("etc", name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writeKubeconfigs writes the administrator's last: it is the sign that all is there.
func writeKubeconfigs(l layout, s *state, authorities *pki.Authorities, now time.Time) error {
	all := users()
	for i := range all {
		u := all[len(all)-1-i]
		cert, key, err := authorities.User.Issue(pki.Leaf{
			CommonName: u.name, Organizations: u.groups,
			Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, TTL: pki.AuthorityTTL,
		}, now)
		if err != nil {
			return fmt.Errorf("making the certificate of %s: %w", u.name, err)
		}
		content, err := pki.Kubeconfig(pki.KubeconfigInput{
			Server: s.server(), CA: authorities.Server.CertPEM(), ClientCert: cert, ClientKey: key,
			ClusterName: "local", UserName: u.name,
		})
		if err != nil {
			return fmt.Errorf("writing the kubeconfig of %s: %w", u.name, err)
		}
		if err := writeFile(l.path(filepath.FromSlash(u.file)), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

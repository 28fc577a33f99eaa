// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;patch;delete

// ensureCertificates makes the authorities, once, and the files that the
// control plane reads. A leaf is kept as long as it is good.
func (r *Reconciler) ensureCertificates(ctx context.Context, s *scope) error {
	var err error
	if s.authorities, err = r.ensureAuthorities(ctx, s); err != nil {
		return err
	}
	if s.agentCA, err = r.AgentCA(ctx); err != nil {
		return err
	}
	existing := &corev1.Secret{}
	if _, err := getOwned(ctx, r.Client, r.APIReader, s.spec.PKI(nil), existing); err != nil {
		return err
	}
	ips, err := s.spec.ServingIPs(append(slices.Clone(s.hosts), s.service.Spec.ClusterIP)...)
	if err != nil {
		return err
	}
	files, err := pki.ControlPlaneFiles(pki.FilesInput{
		Authorities:      s.authorities,
		ServingDNSNames:  append(s.spec.ServingDNSNames(), dnsNames(s.hosts)...),
		ServingIPs:       ips,
		PeerDNSNames:     s.spec.PeerDNSNames(),
		KubeletServingCA: s.agentCA,
		Existing:         existing.Data,
	}, r.Clock.Now())
	if err != nil {
		return err
	}
	s.pkiHash, s.etcdCA = hashFiles(files), files[pki.FileEtcdCA]
	return r.apply(ctx, s.spec.PKI(files), &corev1.Secret{})
}

// ensureAuthorities returns the tenant's authorities.
func (r *Reconciler) ensureAuthorities(ctx context.Context, s *scope) (*pki.Authorities, error) {
	secret, err := createOnce(ctx, r.Client, r.APIReader, s.spec.Authorities(nil), func() (*corev1.Secret, error) {
		authorities, err := pki.NewAuthorities(string(s.virtualCluster.UID), r.Clock.Now())
		if err != nil {
			return nil, err
		}
		return s.spec.Authorities(authorities.Data()), nil
	})
	if err != nil {
		return nil, err
	}
	authorities, err := pki.ParseAuthorities(secret.Data)
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", secret.Namespace, component.SecretAuthorities, err)
	}
	return authorities, nil
}

// dnsNames returns the hosts that are not IP addresses.
func dnsNames(hosts []string) []string {
	return slices.DeleteFunc(slices.Clone(hosts), func(host string) bool { return net.ParseIP(host) != nil })
}

// hashFiles returns a digest of the files whose change must restart the
// control plane. The serving pair is left out: the API server reads it again
// by itself, and a node that joins the meta cluster, which adds a name to it,
// must not restart every tenant.
func hashFiles(files map[string][]byte) string {
	digest := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == pki.FileServingCert || name == pki.FileServingKey {
			continue
		}
		fmt.Fprintf(digest, "%s %d\n", name, len(files[name]))
		digest.Write(files[name])
	}
	return hex.EncodeToString(digest.Sum(nil)[:16])
}

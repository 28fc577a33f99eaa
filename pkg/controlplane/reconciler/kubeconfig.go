// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"crypto/x509"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// syncerUser is the name by which a tenant's API server knows the syncer.
const syncerUser = "virtualcluster:syncer"

// ensureKubeconfigs makes the three ways into the tenant: for the syncer, for
// vn-agent, and for the tenant's administrator. The platform's own lead to the
// ClusterIP and are certified by an authority whose key the tenant's control
// plane does not hold.
func (r *Reconciler) ensureKubeconfigs(ctx context.Context, s *scope) error {
	internal := endpoint{server: serverURL(s.service.Spec.ClusterIP, tenancyv1alpha1.ControlPlanePort)}
	syncer, err := r.kubeconfig(ctx, s, certificateSyncer, s.spec.SyncerKubeconfig(nil), s.authorities.PlatformClient, internal,
		syncerUser, "system:masters")
	if err != nil {
		return err
	}
	if err := r.apply(ctx, s.spec.SyncerKubeconfig(syncer), &corev1.Secret{}); err != nil {
		return err
	}
	agent, err := r.kubeconfig(ctx, s, certificateAgent, s.spec.AgentKubeconfig(nil, nil), s.authorities.PlatformClient, internal,
		"system:node:"+tenancyv1alpha1.VirtualNodeName, "system:nodes")
	if err != nil {
		return err
	}
	desired := s.spec.AgentKubeconfig(agent, pki.KubeletClientBundle(s.known))
	if err := r.apply(ctx, desired, &corev1.Secret{}); err != nil {
		return err
	}
	if err := r.ensureUserKubeconfig(ctx, s); err != nil {
		return err
	}
	return r.finishCertificates(ctx, s)
}

// kubeconfig returns a kubeconfig for a user and a group, with the certificate
// of the one that secret holds now as long as that is good. name is the
// certificate's in metrics.
func (r *Reconciler) kubeconfig(ctx context.Context, s *scope, name string, secret *corev1.Secret, authority *pki.Authority, leadsTo endpoint, user, group string) ([]byte, error) {
	existing := &corev1.Secret{}
	if _, err := getOwned(ctx, r.Client, r.APIReader, secret, existing); err != nil {
		return nil, err
	}
	certPEM, keyPEM := pki.KubeconfigPair(existing.Data[tenancyv1alpha1.KeyKubeconfig])
	certPEM, keyPEM, err := authority.Ensure(certPEM, keyPEM, pki.Leaf{
		CommonName: user, Organizations: []string{group}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		TTL: s.leafTTL(),
	}, r.Clock.Now())
	if err != nil {
		return nil, fmt.Errorf("certifying %q: %w", user, err)
	}
	if err := s.expiry.addLeaf(name, certPEM); err != nil {
		return nil, fmt.Errorf("certifying %q: %w", user, err)
	}
	return pki.Kubeconfig(pki.KubeconfigInput{
		Server: leadsTo.server, TLSServerName: leadsTo.tlsServerName, CA: pki.ServerBundle(s.known), ClientCert: certPEM, ClientKey: keyPEM,
		ClusterName: s.virtualCluster.Name, UserName: user,
	})
}

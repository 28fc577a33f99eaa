// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// Annotations of Secret vn-agent-kubeconfig for an external control plane: when
// the token in it was made and when it ends (RFC 3339).
const (
	annotationTokenIssued  = tenancyv1alpha1.LabelPrefix + "token-issued"
	annotationTokenExpires = tenancyv1alpha1.LabelPrefix + "token-expires"
)

// ensureExternalKubeconfigs hands the ways into an external control plane to
// the syncer, to vn-agent and to the tenant's administrator, as
// ensureKubeconfigs does for others.
func (r *Reconciler) ensureExternalKubeconfigs(ctx context.Context, s *scope) error {
	err := r.handOut(ctx, s)
	var refusal *external.RefusalError
	if errors.As(err, &refusal) {
		return &blocked{reason: refusal.Reason, message: refusal.Message, after: s.retryExternal(r)}
	}
	return err
}

func (r *Reconciler) handOut(ctx context.Context, s *scope) error {
	kubeconfig, err := s.visit.access.Kubeconfig(s.virtualCluster.Name)
	if err != nil {
		return fmt.Errorf("encoding the kubeconfig: %w", err)
	}
	for _, secret := range []*corev1.Secret{s.spec.SyncerKubeconfig(kubeconfig), s.spec.UserKubeconfig(kubeconfig)} {
		if err := r.apply(ctx, secret, &corev1.Secret{}); err != nil {
			return err
		}
	}
	token, err := r.agentToken(ctx, s)
	if err != nil {
		return err
	}
	agent, err := s.visit.access.WithToken(token.Value).Kubeconfig(s.virtualCluster.Name)
	if err != nil {
		return fmt.Errorf("encoding vn-agent's kubeconfig: %w", err)
	}
	authority, why, err := r.kubeletAuthority(ctx, s)
	if err != nil {
		return err
	}
	secret := s.spec.AgentKubeconfig(agent, authority)
	if authority == nil {
		delete(secret.Data, tenancyv1alpha1.KeyKubeletClientCA)
	}
	secret.Annotations[annotationTokenIssued] = token.Issued.UTC().Format(time.RFC3339)
	secret.Annotations[annotationTokenExpires] = token.Expires.UTC().Format(time.RFC3339)
	if err := r.apply(ctx, secret, &corev1.Secret{}); err != nil {
		return err
	}
	s.setTrueWith(tenancyv1alpha1.ConditionCertificatesReady, why, r)
	return nil
}

// agentToken returns the token that vn-agent has, or a new one after two
// thirds of its life or when it leads to another server.
func (r *Reconciler) agentToken(ctx context.Context, s *scope) (external.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, external.VisitTimeout)
	defer cancel()
	existing := &corev1.Secret{}
	if _, err := getOwned(ctx, r.Client, r.APIReader, s.spec.AgentKubeconfig(nil, nil), existing); err != nil {
		return external.Token{}, err
	}
	if token, ok := storedToken(existing); ok && r.Clock.Now().Before(token.Issued.Add(token.Expires.Sub(token.Issued)*2/3)) {
		return token, nil
	}
	if err := s.visit.cluster.KeepAgent(ctx); err != nil {
		return external.Token{}, err
	}
	return s.visit.cluster.AgentToken(ctx, r.Clock.Now())
}

func storedToken(secret *corev1.Secret) (external.Token, bool) {
	issued, issuedErr := time.Parse(time.RFC3339, secret.Annotations[annotationTokenIssued])
	expires, expiresErr := time.Parse(time.RFC3339, secret.Annotations[annotationTokenExpires])
	access, err := external.Parse(secret.Data[tenancyv1alpha1.KeyKubeconfig], issued)
	if issuedErr != nil || expiresErr != nil || err != nil || access.Token == "" {
		return external.Token{}, false
	}
	return external.Token{Value: access.Token, Issued: issued, Expires: expires}, true
}

// kubeletAuthority returns the authority by which vn-agent may know the
// external API server, or why there is none.
func (r *Reconciler) kubeletAuthority(ctx context.Context, s *scope) (authority []byte, why string, err error) {
	data, name := s.visit.secret.Data, s.spec.VirtualCluster.String()
	const refused = "kubectl logs, exec and port-forward are refused: "
	if len(data[tenancyv1alpha1.KeyKubeletClientCA]) == 0 {
		return nil, fmt.Sprintf(refused+"Secret %s/%s has no key %s with the authority of the API server's kubelet client certificate",
			s.visit.secret.Namespace, s.visit.secret.Name, tenancyv1alpha1.KeyKubeletClientCA), nil
	}
	authority = data[tenancyv1alpha1.KeyKubeletClientCA]
	if err := external.Endorsed(authority, data[tenancyv1alpha1.KeyKubeletClientProof], name, r.Clock.Now()); err != nil {
		return nil, fmt.Sprintf(refused+"%s of Secret %s/%s: %s (key %s: a certificate by that authority with the common name %s)",
			tenancyv1alpha1.KeyKubeletClientCA, s.visit.secret.Namespace, s.visit.secret.Name, err, tenancyv1alpha1.KeyKubeletClientProof, name), nil
	}
	taken, err := r.authorityTaken(ctx, s, authority)
	if err != nil || taken != "" {
		return nil, refused + "its authority already stands for virtual cluster " + taken, err
	}
	return authority, "", nil
}

// authorityTaken returns the virtual cluster that has this authority already.
func (r *Reconciler) authorityTaken(ctx context.Context, s *scope, authority []byte) (string, error) {
	var secrets corev1.SecretList
	if err := r.Client.List(ctx, &secrets, client.HasLabels{tenancyv1alpha1.LabelTenantID}); err != nil {
		return "", fmt.Errorf("listing Secrets: %w", err)
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		if secret.Name != tenancyv1alpha1.SecretAgentKubeconfig || secret.Namespace == s.spec.NamespaceName() ||
			secret.Labels[tenancyv1alpha1.LabelManagedBy] != tenancyv1alpha1.ManagedByManager {
			continue
		}
		if pki.ShareKey(secret.Data[tenancyv1alpha1.KeyKubeletClientCA], authority) {
			return secret.Annotations[tenancyv1alpha1.AnnotationVirtualCluster], nil
		}
	}
	return "", nil
}

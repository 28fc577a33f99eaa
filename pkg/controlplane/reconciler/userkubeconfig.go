// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// ensureUserKubeconfig gives the tenant's administrator a kubeconfig that
// works. Where it leads changes only when the API server shows a certificate
// for the new way; until then the old way stays in the kubeconfig, in the
// certificate and in vc-gateway.
func (r *Reconciler) ensureUserKubeconfig(ctx context.Context, s *scope) error {
	existing := &corev1.Secret{}
	if _, err := getOwned(ctx, r.Client, r.APIReader, s.spec.UserKubeconfig(nil), existing); err != nil {
		return err
	}
	var present endpoint
	present.server, present.tlsServerName = pki.KubeconfigServer(existing.Data[tenancyv1alpha1.KeyKubeconfig])
	leadsTo, err := r.chooseEndpoint(ctx, s, present)
	if err != nil || leadsTo == (endpoint{}) {
		return err
	}
	kubeconfig, err := r.kubeconfig(ctx, s, certificateUser, s.spec.UserKubeconfig(nil), s.authorities.User, leadsTo,
		s.virtualCluster.Name+"-admin", "system:masters")
	if err != nil {
		return err
	}
	if err := r.apply(ctx, s.spec.UserKubeconfig(kubeconfig), &corev1.Secret{}); err != nil {
		return err
	}
	s.status.ControlPlane.Endpoint = leadsTo.server
	if leadsTo == s.exposed.endpoint {
		s.status.ControlPlane.Hostname = s.exposed.hostname
	}
	return nil
}

// chooseEndpoint returns the way that should be in the kubeconfig if it works
// already, else the one that is in it at present.
func (r *Reconciler) chooseEndpoint(ctx context.Context, s *scope, present endpoint) (endpoint, error) {
	wanted := s.exposed.endpoint
	if wanted == (endpoint{}) || wanted == present {
		return present, nil
	}
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return endpoint{}, err
	}
	// A pod that is on no node yet will start with the certificate as it is now.
	if present == (endpoint{}) && !slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return pod.Spec.NodeName != "" }) {
		return wanted, nil
	}
	if err := r.probeName(ctx, pods, wanted.name(), pki.ServerBundle(s.known)); err != nil {
		s.exposed.awaiting = fmt.Sprintf("the API server does not show its certificate for %s yet; the kubeconfig follows once it does: %v", wanted.name(), err)
		s.exposed.silent = true
		return present, nil
	}
	return wanted, nil
}

// probeName returns nil if every pod that serves shows a certificate for name.
func (r *Reconciler) probeName(ctx context.Context, pods []corev1.Pod, name string, ca []byte) error {
	asked := 0
	for i := range pods {
		if !podReady(&pods[i]) || pods[i].Status.PodIP == "" {
			continue
		}
		asked++
		address := net.JoinHostPort(pods[i].Status.PodIP, strconv.Itoa(tenancyv1alpha1.ControlPlanePort))
		if err := r.ProbeName(ctx, address, name, ca); err != nil {
			return fmt.Errorf("pod %s: %w", pods[i].Name, err)
		}
	}
	if asked == 0 {
		return errors.New("no pod is ready")
	}
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// pausedPhases are those of a virtual cluster whose control plane nobody may
// touch: they look, and write nothing.
func (r *Reconciler) pausedPhases(s *scope) []phase {
	s.differ(tenancyv1alpha1.ReasonPaused, "spec.paused is true: nothing is made, changed, renewed or upgraded")
	if externalRef(s.virtualCluster) != nil {
		return []phase{
			{"reaching the external control plane", tenancyv1alpha1.ConditionControlPlaneReady, false, r.reachExternal},
			{"checking readiness", tenancyv1alpha1.ConditionControlPlaneReady, true, r.observeExternal},
		}
	}
	return []phase{
		{"observing readiness", tenancyv1alpha1.ConditionControlPlaneReady, true, r.observeReadiness},
	}
}

// observeReadiness reports whether the API server answers, from what exists.
func (r *Reconciler) observeReadiness(ctx context.Context, s *scope) error {
	service, files := &corev1.Service{}, &corev1.Secret{}
	hasService, err := getOwned(ctx, r.Client, r.APIReader, s.spec.Service(), service)
	if err != nil {
		return err
	}
	hasFiles, err := getOwned(ctx, r.Client, r.APIReader, s.spec.PKI(nil), files)
	if err != nil {
		return err
	}
	if !hasService || !hasFiles {
		return &blocked{reason: tenancyv1alpha1.ReasonPaused, message: "spec.paused was true before there was a control plane: set it to false"}
	}
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return err
	}
	if !anyReady(pods) {
		return s.unavailable("the control plane's pod is not ready: "+describePods(pods), 0)
	}
	address := net.JoinHostPort(service.Spec.ClusterIP, strconv.Itoa(tenancyv1alpha1.ControlPlanePort))
	if err := r.Probe(ctx, address, files.Data[pki.FileServerCA]); err != nil {
		after := patience(s.unavailableFor(r.Clock), retryProbe, retryProbeMax)
		return s.unavailable(fmt.Sprintf("the API server does not answer through its Service: %v", err), after)
	}
	return nil
}

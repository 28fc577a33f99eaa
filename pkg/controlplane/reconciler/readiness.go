// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch

// retryProbe is how soon an API server whose pod is ready is asked again. Its
// Service needs a moment to lead to the pod, which nothing tells us.
const retryProbe = 250 * time.Millisecond

// checkReadiness reports whether the API server answers, through its Service
// and certified by its authority: the way of the syncer and of vn-agent.
func (r *Reconciler) checkReadiness(ctx context.Context, s *scope) error {
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return err
	}
	s.status.ControlPlane.Addresses = podAddresses(pods)
	if !hasReadyReplica(s.statefulSet) {
		return s.unavailable("the control plane's pod is not ready: "+describePods(pods), 0)
	}
	address := net.JoinHostPort(s.service.Spec.ClusterIP, strconv.Itoa(tenancyv1alpha1.ControlPlanePort))
	if err := r.Probe(ctx, address, s.authorities.Server.CertPEM()); err != nil {
		return s.unavailable("the API server does not answer through its Service: "+err.Error(), retryProbe)
	}
	if rolledOut(s.statefulSet) {
		s.status.Version = s.spec.Version.Name
	}
	return nil
}

// unavailable blocks with a reason that tells a control plane that is being
// made from one that was ready before.
func (s *scope) unavailable(message string, after time.Duration) error {
	reason := tenancyv1alpha1.ReasonProvisioning
	if s.status.Version != "" {
		reason = tenancyv1alpha1.ReasonControlPlaneUnavailable
	}
	return &blocked{reason: reason, message: message, after: after}
}

func (r *Reconciler) listPods(ctx context.Context, s *scope) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := r.Client.List(ctx, &pods, client.InNamespace(s.spec.NamespaceName()),
		client.MatchingLabels(s.spec.StatefulSet("").Spec.Selector.MatchLabels))
	if err != nil {
		return nil, fmt.Errorf("listing the control plane's pods: %w", err)
	}
	return pods.Items, nil
}

// podAddresses returns the IPs of the pods that are there to stay, sorted. A
// pod that is not ready counts: the list says where the tenant's
// default/kubernetes Service may lead, not where it leads now.
func podAddresses(pods []corev1.Pod) []string {
	var addresses []string
	for i := range pods {
		if pods[i].DeletionTimestamp.IsZero() && pods[i].Status.PodIP != "" {
			addresses = append(addresses, pods[i].Status.PodIP)
		}
	}
	slices.Sort(addresses)
	return addresses
}

func hasReadyReplica(statefulSet *appsv1.StatefulSet) bool {
	return statefulSet.Status.ObservedGeneration >= statefulSet.Generation && statefulSet.Status.ReadyReplicas > 0
}

// rolledOut reports whether every replica runs what the StatefulSet asks for.
func rolledOut(statefulSet *appsv1.StatefulSet) bool {
	return hasReadyReplica(statefulSet) && statefulSet.Spec.Replicas != nil &&
		statefulSet.Status.UpdatedReplicas == *statefulSet.Spec.Replicas &&
		statefulSet.Status.ReadyReplicas == *statefulSet.Spec.Replicas
}

// describePods says what keeps the pods from being ready, as far as they know.
func describePods(pods []corev1.Pod) string {
	if len(pods) == 0 {
		return "it does not exist yet"
	}
	for i := range pods {
		if trouble := podTrouble(&pods[i]); trouble != "" {
			return trouble
		}
	}
	return "it is starting"
}

func podTrouble(pod *corev1.Pod) string {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse {
			return condition.Reason + ": " + condition.Message
		}
	}
	for i := range pod.Status.ContainerStatuses {
		state := pod.Status.ContainerStatuses[i].State
		if state.Waiting != nil && state.Waiting.Reason != "ContainerCreating" && state.Waiting.Reason != "PodInitializing" {
			return state.Waiting.Reason + ": " + state.Waiting.Message
		}
		if state.Terminated != nil {
			return fmt.Sprintf("%s: exit code %d", state.Terminated.Reason, state.Terminated.ExitCode)
		}
	}
	return ""
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch

const (
	// retryProbe is how soon an API server whose pod is ready is asked again. Its
	// Service needs a moment to lead to the pod, which nothing tells us.
	retryProbe = 250 * time.Millisecond
	// retryProbeMax is how late one is asked again that has not answered for long.
	retryProbeMax = 15 * time.Second
)

// maxLog is how much of the end of a crashed control plane's log a condition shows, in bytes.
const maxLog = 512

// checkReadiness reports whether the API server answers, through its Service
// and certified by its authority: the way of the syncer and of vn-agent.
func (r *Reconciler) checkReadiness(ctx context.Context, s *scope) error {
	if !hasReadyReplica(s.statefulSet) {
		if s.status.Version != "" && !s.spec.Membership.Bootstrap && databaseLost(s.pods) {
			return &blocked{reason: tenancyv1alpha1.ReasonDatabaseLost, message: remedyDatabaseLost}
		}
		return s.unavailable("no replica of the control plane is ready: "+describePods(s.pods), 0)
	}
	address := net.JoinHostPort(s.service.Spec.ClusterIP, strconv.Itoa(tenancyv1alpha1.ControlPlanePort))
	if err := r.Probe(ctx, address, pki.ServerBundle(s.known)); err != nil {
		after := patience(s.unavailableFor(r.Clock), retryProbe, retryProbeMax)
		return s.unavailable("the API server does not answer through its Service: "+err.Error(), after)
	}
	s.noteVersion(s.pods)
	return r.noteServing(ctx, s)
}

// observePods notes where the control plane's pods are. It needs no phase to
// have succeeded: a tenant whose class is gone goes on working, and its pods
// must find an API server that moved.
func (r *Reconciler) observePods(ctx context.Context, s *scope) error {
	if externalRef(s.virtualCluster) != nil {
		return nil // there are none; observeExternal asks the cluster itself
	}
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return err
	}
	s.pods = pods
	s.status.ControlPlane.Addresses = podAddresses(pods)
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

// unavailableFor returns how long the control plane has not been ready.
func (s *scope) unavailableFor(now clock.PassiveClock) time.Duration {
	return s.falseFor(tenancyv1alpha1.ConditionControlPlaneReady, now)
}

// patience returns when to look again at what has been awaited for so long: at
// first soon, and ever later, so that what never ends does not keep us busy.
func patience(waited, soonest, latest time.Duration) time.Duration {
	const part = 40
	return min(max(waited/part, soonest), latest)
}

func (r *Reconciler) listPods(ctx context.Context, s *scope) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := r.Client.List(ctx, &pods, client.InNamespace(s.spec.NamespaceName()),
		client.MatchingLabels(s.spec.StatefulSet("").Spec.Selector.MatchLabels))
	if err != nil {
		return nil, fmt.Errorf("listing the control plane's pods: %w", err)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return int(ordinalOf(&a) - ordinalOf(&b)) })
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

// readyCondition returns the pod's condition Ready, or nil.
func readyCondition(pod *corev1.Pod) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == corev1.PodReady {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

func anyReady(pods []corev1.Pod) bool {
	return slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return podReady(&pod) })
}

// hasReadyReplica reports whether any replica is worth asking. It may be one of
// before a change that the StatefulSet's controller has not seen yet: as long
// as it answers, the control plane is there.
func hasReadyReplica(statefulSet *appsv1.StatefulSet) bool {
	return statefulSet.Status.ReadyReplicas > 0
}

// rolledOut reports whether every replica runs what the StatefulSet asks for.
func rolledOut(statefulSet *appsv1.StatefulSet) bool {
	return statefulSet.Status.ObservedGeneration >= statefulSet.Generation && statefulSet.Spec.Replicas != nil &&
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
		status := &pod.Status.ContainerStatuses[i]
		if waiting := status.State.Waiting; waiting != nil && waiting.Reason != "ContainerCreating" && waiting.Reason != "PodInitializing" {
			return waiting.Reason + ": " + waiting.Message + describeEnd("; it ended before with ", status.LastTerminationState.Terminated)
		}
		if ended := describeEnd("", status.State.Terminated); ended != "" {
			return ended
		}
		// Running and not ready: how it ended before says why it takes long.
		if ended := describeEnd("it is starting again after ", status.LastTerminationState.Terminated); ended != "" {
			return ended
		}
	}
	return ""
}

// describeEnd says how a container ended, with the end of its log, which the
// kubelet puts into the message; empty if it did not end.
func describeEnd(prefix string, ended *corev1.ContainerStateTerminated) string {
	if ended == nil {
		return ""
	}
	out := fmt.Sprintf("%s%s: exit code %d", prefix, ended.Reason, ended.ExitCode)
	if lines := strings.TrimSpace(ended.Message); lines != "" {
		// The last lines are the reason; what is too long is cut at its beginning.
		out += ": " + strings.ToValidUTF8(lines[max(0, len(lines)-maxLog):], "")
	}
	return out
}

// remedyDatabaseLost is what a person is told who has to decide.
const remedyDatabaseLost = "the volume of the control plane's database is empty, although there was a database: " +
	"restore the volume, or allow an empty one with the annotation " + tenancyv1alpha1.AnnotationAllowEmptyDatabase +
	"=<now, RFC 3339>; docs/operators.md (A lost database) has more"

// databaseLost reports whether every pod says that it ended for want of its
// database. The process says so in the last lines of its log.
func databaseLost(pods []corev1.Pod) bool {
	for i := range pods {
		if !slices.ContainsFunc(pods[i].Status.ContainerStatuses, func(status corev1.ContainerStatus) bool {
			return saysLost(status.State.Terminated) || saysLost(status.LastTerminationState.Terminated)
		}) {
			return false
		}
	}
	return len(pods) > 0
}

func saysLost(ended *corev1.ContainerStateTerminated) bool {
	return ended != nil && (strings.Contains(ended.Message, "the database is gone") ||
		strings.Contains(ended.Message, "this volume holds no database"))
}

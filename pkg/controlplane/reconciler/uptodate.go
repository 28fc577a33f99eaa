// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// difference is what makes a control plane other than what is asked for.
type difference struct{ reason, message string }

// differ notes a difference between what runs and what is asked for, which
// the condition UpToDate shows unless there is one of more weight.
func (s *scope) differ(reason, message string) {
	s.differences = append(s.differences, difference{reason, message})
}

// byWeight are the reasons of UpToDate, those first that a person has to act
// on, or that explain the others.
func byWeight() []string {
	return []string{
		tenancyv1alpha1.ReasonPaused,
		tenancyv1alpha1.ReasonUpgradeRefused,
		tenancyv1alpha1.ReasonRolledBack,
		tenancyv1alpha1.ReasonProvisioning,
		tenancyv1alpha1.ReasonScaling,
		tenancyv1alpha1.ReasonRollingOut,
		tenancyv1alpha1.ReasonReplicaUnavailable,
	}
}

// reportUpToDate sets the condition UpToDate from the differences that were
// noted and from the StatefulSet. If it was not looked at, because an earlier
// phase waits, the condition stays as it is.
func (s *scope) reportUpToDate(now clock.PassiveClock) {
	differences := slices.Clone(s.differences)
	if s.statefulSet != nil {
		if found, ok := rolloutDifference(s.statefulSet, s.pods, s.status.Version != ""); ok {
			differences = append(differences, found)
		}
	}
	for _, reason := range byWeight() {
		for _, found := range differences {
			if found.reason == reason {
				s.setFalse(tenancyv1alpha1.ConditionUpToDate, found.reason, found.message, now)
				return
			}
		}
	}
	if s.statefulSet != nil {
		s.setTrue(tenancyv1alpha1.ConditionUpToDate, now)
	}
}

// rolloutDifference says what keeps the pods from being as the StatefulSet
// asks for. That the only replica is down is said by ControlPlaneReady.
func rolloutDifference(statefulSet *appsv1.StatefulSet, pods []corev1.Pod, served bool) (difference, bool) {
	wanted, status := ptr.Deref(statefulSet.Spec.Replicas, 1), &statefulSet.Status
	ready := fmt.Sprintf("%d of %d replicas are ready", status.ReadyReplicas, wanted)
	switch {
	case !served:
		return difference{tenancyv1alpha1.ReasonProvisioning, "the control plane is being made: " + ready}, true
	case status.ObservedGeneration < statefulSet.Generation, status.UpdatedReplicas < wanted,
		status.ReadyReplicas < wanted && status.CurrentRevision != status.UpdateRevision:
		return difference{tenancyv1alpha1.ReasonRollingOut, fmt.Sprintf(
			"%d of %d replicas are as they should be, %d are ready", status.UpdatedReplicas, wanted, status.ReadyReplicas)}, true
	case wanted > 1 && status.ReadyReplicas < wanted:
		return difference{tenancyv1alpha1.ReasonReplicaUnavailable, ready + describeDown(pods)}, true
	}
	return difference{}, false
}

// describeDown names the pods that are not ready, with what they say about it.
func describeDown(pods []corev1.Pod) string {
	out := ""
	for i := range pods {
		if !podReady(&pods[i]) {
			out += "; " + pods[i].Name + ": " + describePods(pods[i:i+1])
		}
	}
	return out
}

// observeReplicas notes how many replicas there are: how many vote as far as
// the database was asked, and else how many there are to be.
func (s *scope) observeReplicas(facts scalingFacts) {
	status := s.status.ControlPlane
	status.ReadyReplicas = s.statefulSet.Status.ReadyReplicas
	switch {
	case facts.members != nil:
		status.Replicas = facts.voters()
	case !facts.asksMembers():
		status.Replicas = ptr.Deref(s.statefulSet.Spec.Replicas, 1)
	}
}

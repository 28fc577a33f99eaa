// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		tenancyv1alpha1.ReasonVersionNotOffered,
		tenancyv1alpha1.ReasonUpgradeRefused,
		tenancyv1alpha1.ReasonRolledBack,
		tenancyv1alpha1.ReasonQuotaExceedsMaximum,
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
		if found, ok := s.rolloutDifference(); ok {
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
	switch {
	case s.statefulSet == nil && s.visit == nil:
	case s.choice.warning != "":
		s.set(tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonVersionDeprecated, s.choice.warning, now)
	default:
		s.setTrue(tenancyv1alpha1.ConditionUpToDate, now)
	}
}

// rolloutDifference says what keeps the pods from being as the StatefulSet
// asks for. That the only replica is down is said by ControlPlaneReady.
func (s *scope) rolloutDifference() (difference, bool) {
	wanted, status := ptr.Deref(s.statefulSet.Spec.Replicas, 1), &s.statefulSet.Status
	ready := fmt.Sprintf("%d of %d replicas are ready", status.ReadyReplicas, wanted)
	switch {
	case s.status.Version == "":
		return difference{tenancyv1alpha1.ReasonProvisioning, "the control plane is being made: " + ready}, true
	case s.status.Version != s.spec.Version.Name, status.ObservedGeneration < s.statefulSet.Generation,
		status.CurrentRevision != status.UpdateRevision, slices.ContainsFunc(s.pods, s.isOutdated):
		return difference{tenancyv1alpha1.ReasonRollingOut, s.describeRollout()}, true
	case wanted > 1 && status.ReadyReplicas < wanted:
		return difference{tenancyv1alpha1.ReasonReplicaUnavailable, ready + describeDown(s.pods)}, true
	}
	return difference{}, false
}

// isOutdated reports whether a pod was made for what the StatefulSet no longer asks for.
func (s *scope) isOutdated(pod corev1.Pod) bool {
	return s.statefulSet.Status.ObservedGeneration < s.statefulSet.Generation ||
		pod.Labels[appsv1.ControllerRevisionHashLabelKey] != s.statefulSet.Status.UpdateRevision
}

// describeRollout says how far a rollout has come, and what is wrong with a new pod.
func (s *scope) describeRollout() string {
	done, ready, trouble := 0, 0, ""
	for i := range s.pods {
		if podReady(&s.pods[i]) {
			ready++
		}
		if s.isOutdated(s.pods[i]) {
			continue
		}
		done++
		if found := podTrouble(&s.pods[i]); trouble == "" && found != "" && !podReady(&s.pods[i]) {
			trouble = "; " + s.pods[i].Name + ": " + found
		}
	}
	out := fmt.Sprintf("%d of %d replicas are as they should be, %d are ready%s", done, ptr.Deref(s.statefulSet.Spec.Replicas, 1), ready, trouble)
	if from, to := s.status.Version, s.spec.Version.Name; from != to {
		return fmt.Sprintf("from %s to %s: %s", from, to, out)
	}
	return out
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

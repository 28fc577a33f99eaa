// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"bytes"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// setConditions takes the conditions that a kubelet or the scheduler writes
// from super and leaves all others, which are the tenant's, alone. current says
// that they speak of what the tenant asks for now.
func setConditions(super, tenant *corev1.Pod, current bool, scrub func(string) string) {
	if current {
		tenant.Status.ObservedGeneration = tenant.Generation
	}
	status := &tenant.Status
	status.Conditions = slices.DeleteFunc(slices.Clone(status.Conditions), func(c corev1.PodCondition) bool {
		return comesAndGoes(c.Type) && conditionOf(super.Status.Conditions, c.Type) == nil
	})
	for _, condition := range super.Status.Conditions {
		if !ownedBySuper(condition.Type) {
			continue
		}
		condition.Message = scrub(conditionMessage(condition))
		condition.ObservedGeneration = 0
		if current {
			condition.ObservedGeneration = tenant.Generation
		}
		if condition.Type == corev1.PodReady {
			holdReady(tenant, &condition)
		}
		setCondition(status, condition)
	}
}

// setCondition adds or replaces a condition, unless that would be no news.
func setCondition(status *corev1.PodStatus, condition corev1.PodCondition) {
	has := conditionOf(status.Conditions, condition.Type)
	if has == nil {
		status.Conditions = append(status.Conditions, condition)
		return
	}
	if has.Status == condition.Status {
		switch condition.Type {
		case corev1.PodScheduled:
			if condition.Status == corev1.ConditionTrue {
				return // the binding set it; times that differ are no news
			}
			condition.LastTransitionTime = has.LastTransitionTime
		case corev1.PodReady:
			condition.LastTransitionTime = has.LastTransitionTime
		}
	}
	*has = condition
}

// conditionMessage is what a tenant may read of a condition's message.
func conditionMessage(condition corev1.PodCondition) string {
	if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable {
		return policy.SchedulingMessage(condition.Message)
	}
	return policy.WithoutCapacity(condition.Message)
}

// comesAndGoes reports the conditions that a kubelet removes when they are over.
func comesAndGoes(conditionType corev1.PodConditionType) bool {
	return conditionType == corev1.PodResizePending || conditionType == corev1.PodResizeInProgress
}

// settled reports that super asks for all that tenant asks for and may have:
// what its kubelet has seen is then what the tenant wants.
func (t *translator) settled(ctx context.Context, env kind.Env, tenant, super *corev1.Pod) bool {
	wanted := &corev1.Pod{Spec: *super.Spec.DeepCopy()}
	updateSpec(tenant, wanted)
	env.Warn = func(string, string) {} // Down has told
	err := t.addEphemeral(ctx, env, tenant, wanted)
	return err == nil && sameSpec(&super.Spec, &wanted.Spec)
}

// sameSpec compares the encodings first: that takes a fraction of the time.
func sameSpec(a, b *corev1.PodSpec) bool {
	one, oneErr := a.Marshal()
	other, otherErr := b.Marshal()
	if oneErr == nil && otherErr == nil && bytes.Equal(one, other) {
		return true
	}
	return equality.Semantic.DeepEqual(a, b)
}

// hold tells a pod that has no super pod why it is not scheduled.
func hold(tenant *corev1.Pod, err error) {
	if tenant.Spec.NodeName != "" {
		return // somebody of the tenant's said that it is
	}
	condition := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: err.Error(),
		// It has not been since it was made.
		LastTransitionTime: tenant.CreationTimestamp, ObservedGeneration: tenant.Generation,
	}
	if reject := kind.AsReject(err); reject != nil {
		condition.Reason, condition.Message = "SyncRejected", reject.Error()
	}
	setCondition(&tenant.Status, condition)
}

// holdReady keeps a pod from being Ready before its readiness gates, which are
// conditions that the tenant sets, are True.
func holdReady(tenant *corev1.Pod, ready *corev1.PodCondition) {
	if ready.Status != corev1.ConditionTrue {
		return
	}
	for _, gate := range tenant.Spec.ReadinessGates {
		open := slices.ContainsFunc(tenant.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		})
		if !open {
			ready.Status, ready.Reason = corev1.ConditionFalse, "ReadinessGatesNotReady"
			ready.Message = "corresponding condition of pod readiness gate \"" + string(gate.ConditionType) + "\" is not True"
			return
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// subresources are the parts of a running pod that API servers take on paths of
// their own.
func subresources() []kind.Subresource[*corev1.Pod] {
	return []kind.Subresource[*corev1.Pod]{
		{Name: "ephemeralcontainers", Copy: func(from, to *corev1.Pod) {
			to.Spec.EphemeralContainers = slices.Clone(from.Spec.EphemeralContainers)
		}},
		{Name: "resize", Copy: copyResources},
		{Name: "status", Copy: func(from, to *corev1.Pod) { to.Status = *from.Status.DeepCopy() }},
	}
}

// copyResources gives each container, and the pod, the resources of its namesake.
func copyResources(from, to *corev1.Pod) {
	to.Spec.Resources = from.Spec.Resources.DeepCopy()
	for _, lists := range [][2][]corev1.Container{
		{from.Spec.InitContainers, to.Spec.InitContainers}, {from.Spec.Containers, to.Spec.Containers},
	} {
		for i := range lists[1] {
			if source := containerNamed(lists[0], lists[1][i].Name); source != nil {
				lists[1][i].Resources = *source.Resources.DeepCopy()
			}
		}
	}
}

// resize makes super ask for the resources that tenant asks for now. What super
// added by itself, a default of a LimitRange for example, stays.
func resize(tenant, super *corev1.Pod) {
	for _, lists := range [][2][]corev1.Container{
		{tenant.Spec.InitContainers, super.Spec.InitContainers}, {tenant.Spec.Containers, super.Spec.Containers},
	} {
		for i := range lists[1] {
			if asked := containerNamed(lists[0], lists[1][i].Name); asked != nil {
				lists[1][i].Resources.Requests = merged(lists[1][i].Resources.Requests, asked.Resources.Requests)
				lists[1][i].Resources.Limits = merged(lists[1][i].Resources.Limits, asked.Resources.Limits)
			}
		}
	}
	if asked := tenant.Spec.Resources; asked != nil {
		if super.Spec.Resources == nil {
			super.Spec.Resources = &corev1.ResourceRequirements{}
		}
		super.Spec.Resources.Requests = merged(super.Spec.Resources.Requests, asked.Requests)
		super.Spec.Resources.Limits = merged(super.Spec.Resources.Limits, asked.Limits)
	}
}

// merged returns has with the values of asked. Equal quantities stay as they
// are written: 1 and 1000m are no difference.
func merged(has, asked corev1.ResourceList) corev1.ResourceList {
	out := has.DeepCopy()
	for name, quantity := range asked {
		if other, ok := out[name]; ok && quantity.Cmp(other) == 0 {
			continue
		}
		if out == nil {
			out = corev1.ResourceList{}
		}
		out[name] = quantity
	}
	return out
}

func containerNamed(containers []corev1.Container, name string) *corev1.Container {
	i := slices.IndexFunc(containers, func(c corev1.Container) bool { return c.Name == name })
	if i < 0 {
		return nil
	}
	return &containers[i]
}

// passGates writes the conditions that the tenant's readiness gates wait for
// into super, where the kubelet and the super cluster's EndpointSlices read
// them. Conditions that a kubelet or the scheduler owns never go down, and no
// text of the tenant's does. A pod without gates costs nothing here.
func passGates(tenant, super *corev1.Pod) {
	for _, gate := range tenant.Spec.ReadinessGates {
		given := conditionOf(tenant.Status.Conditions, gate.ConditionType)
		if given == nil || ownedBySuper(gate.ConditionType) {
			continue
		}
		wanted := corev1.PodCondition{Type: given.Type, Status: given.Status, LastTransitionTime: given.LastTransitionTime}
		has := conditionOf(super.Status.Conditions, gate.ConditionType)
		switch {
		case has == nil:
			super.Status.Conditions = append(super.Status.Conditions, wanted)
		case has.Status != wanted.Status:
			*has = wanted
		}
	}
}

// conditionOf returns the condition of a type in place, or nil.
func conditionOf(conditions []corev1.PodCondition, conditionType corev1.PodConditionType) *corev1.PodCondition {
	i := slices.IndexFunc(conditions, func(c corev1.PodCondition) bool { return c.Type == conditionType })
	if i < 0 {
		return nil
	}
	return &conditions[i]
}

// ownedBySuper reports the conditions that the super cluster's kubelets,
// scheduler and controllers write. All others are the tenant's.
func ownedBySuper(conditionType corev1.PodConditionType) bool {
	switch conditionType {
	case corev1.PodScheduled, corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady,
		corev1.DisruptionTarget, corev1.PodResizePending, corev1.PodResizeInProgress, corev1.AllContainersRestarting:
		return true
	default:
		return false
	}
}

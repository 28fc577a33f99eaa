// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// up makes the tenant's pod report what the super pod reports, as its kubelet
// would: with the virtual node's address, and with what the tenant set itself.
func up(ctx context.Context, env kind.Env, super, tenant *corev1.Pod) error {
	if !worthReporting(super, tenant) {
		return nil
	}
	out, in := &tenant.Status, super.Status.DeepCopy()
	scrub := scrubber(super, tenant)
	out.Phase, out.Reason, out.Message = in.Phase, in.Reason, scrub(in.Message)
	out.StartTime = in.StartTime
	out.PodIP, out.PodIPs = in.PodIP, in.PodIPs
	out.InitContainerStatuses = scrubStatuses(in.InitContainerStatuses, scrub)
	out.ContainerStatuses = scrubStatuses(in.ContainerStatuses, scrub)
	out.Resize, out.Resources, out.AllocatedResources = in.Resize, in.Resources, in.AllocatedResources
	if out.QOSClass == "" {
		out.QOSClass = in.QOSClass
	}
	setHost(ctx, env, super, out)
	setConditions(super, tenant, in.Conditions, scrub)
	return nil
}

// worthReporting says whether the super pod has news. Between "scheduled",
// which the binding told, and the first container state there are none; nor are
// there while containers are merely being created, once that has been told.
func worthReporting(super, tenant *corev1.Pod) bool {
	if finished(tenant) && super.Status.Phase != tenant.Status.Phase {
		return false // a pod that has finished stays so
	}
	if super.Status.Phase != corev1.PodPending {
		return true
	}
	if super.Status.StartTime == nil {
		return unschedulable(super)
	}
	told := tenant.Status.StartTime != nil && len(tenant.Status.ContainerStatuses) > 0
	return !told || !quietlyStarting(super)
}

func unschedulable(super *corev1.Pod) bool {
	return slices.ContainsFunc(super.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse
	})
}

// quietlyStarting reports a pod whose containers are all on their way for the
// first time, with nothing to tell about any of them.
func quietlyStarting(super *corev1.Pod) bool {
	if len(super.Status.InitContainerStatuses) > 0 || super.DeletionTimestamp != nil {
		return false
	}
	for _, status := range super.Status.ContainerStatuses {
		waiting := status.State.Waiting
		if waiting == nil || (waiting.Reason != "ContainerCreating" && waiting.Reason != "PodInitializing") {
			return false
		}
	}
	return true
}

// setHost shows the virtual node's address once the super pod has a host.
func setHost(ctx context.Context, env kind.Env, super *corev1.Pod, out *corev1.PodStatus) {
	if super.Status.HostIP == "" {
		return
	}
	node, err := virtualNode(ctx, env)
	if err != nil {
		return // shown with the next change: the node is not registered yet
	}
	addresses := nodeAddresses(node)
	if len(addresses) == 0 {
		return
	}
	out.HostIP, out.HostIPs = addresses[0], nil
	for _, address := range addresses {
		out.HostIPs = append(out.HostIPs, corev1.HostIP{IP: address})
	}
}

// setConditions takes the conditions that a kubelet or the scheduler writes
// from super and leaves all others, which are the tenant's, alone.
func setConditions(super, tenant *corev1.Pod, reported []corev1.PodCondition, scrub func(string) string) {
	current := super.Status.ObservedGeneration == super.Generation
	if current {
		tenant.Status.ObservedGeneration = tenant.Generation
	}
	for _, condition := range reported {
		condition.Message = scrub(condition.Message)
		condition.ObservedGeneration = 0
		if current {
			condition.ObservedGeneration = tenant.Generation
		}
		if condition.Type == corev1.PodReady {
			holdReady(tenant, &condition)
		}
		i := slices.IndexFunc(tenant.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == condition.Type })
		switch {
		case i < 0:
			tenant.Status.Conditions = append(tenant.Status.Conditions, condition)
		case condition.Type == corev1.PodScheduled && tenant.Status.Conditions[i].Status == condition.Status:
			// The binding set it; times that differ are no news.
		default:
			if tenant.Status.Conditions[i].Status == condition.Status && condition.Type == corev1.PodReady {
				condition.LastTransitionTime = tenant.Status.Conditions[i].LastTransitionTime
			}
			tenant.Status.Conditions[i] = condition
		}
	}
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

// rootCA is the ConfigMap that has another name in the super cluster.
const rootCA = "kube-root-ca.crt"

// scrubber replaces the super cluster's names in what a tenant reads.
func scrubber(super, tenant *corev1.Pod) func(string) string {
	pairs := []string{super.Namespace, tenant.Namespace, names.ConfigMap(rootCA), rootCA}
	if super.Spec.NodeName != "" {
		pairs = append(pairs, super.Spec.NodeName, tenancyv1alpha1.VirtualNodeName)
	}
	return strings.NewReplacer(pairs...).Replace
}

// scrubStatuses scrubs what the kubelet says; a container's own last words stay.
func scrubStatuses(statuses []corev1.ContainerStatus, scrub func(string) string) []corev1.ContainerStatus {
	for i := range statuses {
		for _, state := range []*corev1.ContainerState{&statuses[i].State, &statuses[i].LastTerminationState} {
			if state.Waiting != nil {
				state.Waiting.Message = scrub(state.Waiting.Message)
			}
		}
	}
	return statuses
}

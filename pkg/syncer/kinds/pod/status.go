// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// up makes the tenant's pod report what the super pod reports, as its kubelet
// would: with the virtual node's address, and with what the tenant set itself.
func (t *translator) up(ctx context.Context, env kind.Env, super, tenant *corev1.Pod) error {
	if !worthReporting(super, tenant) {
		return nil
	}
	// What nobody has decided about stays behind; the tenant is not to blame for it.
	in, _ := policy.Filter(t.statusRules, super.Status.DeepCopy(), "status")
	out := &tenant.Status
	kept := *out
	*out = *in
	out.ObservedGeneration, out.Conditions, out.HostIP, out.HostIPs = kept.ObservedGeneration, kept.Conditions, kept.HostIP, kept.HostIPs
	out.NominatedNodeName, out.ResourceClaimStatuses = kept.NominatedNodeName, kept.ResourceClaimStatuses
	if kept.QOSClass != "" {
		out.QOSClass = kept.QOSClass // the tenant's API server set it
	}
	scrub := scrubber(super, tenant)
	out.Message = scrub(policy.WithoutCapacity(in.Message))
	out.InitContainerStatuses = shown(in.InitContainerStatuses, tenant, scrub)
	out.ContainerStatuses = shown(in.ContainerStatuses, tenant, scrub)
	out.EphemeralContainerStatuses = shown(in.EphemeralContainerStatuses, tenant, scrub)
	setHost(ctx, env, super, out)
	current := super.Status.ObservedGeneration == super.Generation && t.settled(ctx, env, tenant, super)
	setConditions(super, tenant, current, scrub)
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

// rootCA is the ConfigMap that has another name in the super cluster.
const rootCA = "kube-root-ca.crt"

// scrubber replaces the super cluster's names in what a tenant reads.
func scrubber(super, tenant *corev1.Pod) func(string) string {
	pairs := []string{super.Namespace, tenant.Namespace, names.ConfigMap(rootCA), rootCA}
	if super.Spec.NodeName != "" {
		pairs = append(pairs, super.Spec.NodeName, tenancyv1alpha1.VirtualNodeName)
	}
	// A kubelet lists containers as [a b].
	known := containerNames(tenant)
	for name := range containerNames(super).Difference(known) {
		pairs = append(pairs, "["+name+"]", "[]", "["+name+" ", "[", " "+name+"]", "]", " "+name+" ", " ")
	}
	return strings.NewReplacer(pairs...).Replace
}

// containerNames returns the names of all containers of a pod.
func containerNames(pod *corev1.Pod) sets.Set[string] {
	containers := sets.New[string]()
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			containers.Insert(list[i].Name)
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		containers.Insert(pod.Spec.EphemeralContainers[i].Name)
	}
	return containers
}

// shown returns the statuses of the tenant's own containers: what admission of
// the super cluster added to its pod, a proxy for example, is not the tenant's
// to see. What the kubelet says is scrubbed; a container's own last words stay.
func shown(statuses []corev1.ContainerStatus, tenant *corev1.Pod, scrub func(string) string) []corev1.ContainerStatus {
	known := containerNames(tenant)
	statuses = slices.DeleteFunc(statuses, func(s corev1.ContainerStatus) bool { return !known.Has(s.Name) })
	for i := range statuses {
		for _, state := range []*corev1.ContainerState{&statuses[i].State, &statuses[i].LastTerminationState} {
			if state.Waiting != nil {
				state.Waiting.Message = scrub(state.Waiting.Message)
			}
		}
	}
	return statuses
}

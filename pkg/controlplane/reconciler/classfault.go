// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// classFault says why virtual clusters of a class cannot work, with the field
// and the remedy; empty if they can. What the API server can refuse by itself
// it has refused. own are the meta cluster's own service ranges.
func classFault(class *tenancyv1alpha1.VirtualClusterClass, own []string) string {
	for _, find := range []func() string{
		func() string { return rangeFault(class.Spec.Network.ServiceCIDR, own) },
		func() string { return resourcesFault(class.Spec.ControlPlane) },
		func() string { return quotaFault(class.Spec.Quota) },
		func() string { return nodeFault(class.Spec.Node) },
	} {
		if fault := find(); fault != "" {
			return fault
		}
	}
	return ""
}

func rangeFault(pool string, own []string) string {
	prefix, err := netip.ParsePrefix(pool)
	if err != nil {
		return "spec.network.serviceCIDR: " + err.Error()
	}
	for _, text := range own {
		if other, err := netip.ParsePrefix(text); err == nil && prefix.Overlaps(other) {
			return fmt.Sprintf("spec.network.serviceCIDR: %s overlaps %s, from which the cluster gives addresses to its own Services (ServiceCIDR %s): create a class with another range",
				pool, text, ownServiceRange)
		}
	}
	return ""
}

func resourcesFault(controlPlane tenancyv1alpha1.ClassControlPlane) string {
	for _, name := range slices.Sorted(maps.Keys(controlPlane.Resources.Requests)) {
		request := controlPlane.Resources.Requests[name]
		if limit, ok := controlPlane.Resources.Limits[name]; ok && request.Cmp(limit) > 0 {
			return fmt.Sprintf("spec.controlPlane.resources: the request of %s (%s) is more than its limit (%s): no pod of it would be taken", name, request.String(), limit.String())
		}
	}
	if size := controlPlane.Storage.Size; size.Sign() < 0 {
		return fmt.Sprintf("spec.controlPlane.storage.size: %s is negative", size.String())
	}
	return ""
}

func quotaFault(quota tenancyv1alpha1.ClassQuota) string {
	for _, name := range slices.Sorted(maps.Keys(quota.Default)) {
		given := quota.Default[name]
		if most, ok := quota.Max[name]; ok && given.Cmp(most) > 0 {
			return fmt.Sprintf("spec.quota.default: %s %s is more than spec.quota.max (%s)", name, given.String(), most.String())
		}
	}
	return ""
}

// nodeFault finds labels and taints that the tenant's API server would refuse
// of a node, which then would never be there.
func nodeFault(node tenancyv1alpha1.ClassNode) string {
	for _, key := range slices.Sorted(maps.Keys(node.Labels)) {
		if faults := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(node.Labels[key])...); len(faults) > 0 {
			return fmt.Sprintf("spec.node.labels: %s: %s", key, strings.Join(faults, ", "))
		}
		if !nodeMaySet(key) {
			return fmt.Sprintf("spec.node.labels: %s: a node may not give itself labels of kubernetes.io and k8s.io (NodeRestriction) but below node.kubernetes.io and kubelet.kubernetes.io: use a domain of your own", key)
		}
	}
	for i, taint := range node.Taints {
		if faults := append(validation.IsQualifiedName(taint.Key), validation.IsValidLabelValue(taint.Value)...); len(faults) > 0 {
			return fmt.Sprintf("spec.node.taints[%d]: %s", i, strings.Join(faults, ", "))
		}
		if !slices.Contains([]corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}, taint.Effect) {
			return fmt.Sprintf("spec.node.taints[%d].effect: %q is none of NoSchedule, PreferNoSchedule, NoExecute", i, taint.Effect)
		}
	}
	return ""
}

// nodeMaySet says which labels the admission plugin NodeRestriction lets a node
// give itself, as far as the platform has no value of its own for them (KEP-279).
func nodeMaySet(key string) bool {
	domain, _, found := strings.Cut(key, "/")
	if !found {
		return true
	}
	below := func(parent string) bool { return domain == parent || strings.HasSuffix(domain, "."+parent) }
	if below("node.kubernetes.io") || below("kubelet.kubernetes.io") {
		return !strings.HasPrefix(key, corev1.LabelInstanceTypeStable)
	}
	return !below("kubernetes.io") && !below("k8s.io")
}

// refusedBy says why a class takes no virtual cluster that is new. One that
// holds its service range already goes on.
func refusedBy(class *tenancyv1alpha1.VirtualClusterClass, s *scope) error {
	if s.status.Network != nil {
		return nil
	}
	if !class.DeletionTimestamp.IsZero() {
		return &blocked{reason: tenancyv1alpha1.ReasonClassDeleting, message: fmt.Sprintf(
			"spec.className: class %q is being deleted: create a virtual cluster of another class", class.Name)}
	}
	ready := meta.FindStatusCondition(class.Status.Conditions, tenancyv1alpha1.ClassConditionReady)
	if ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason == tenancyv1alpha1.ReasonClassInvalid && ready.ObservedGeneration == class.Generation {
		return &blocked{reason: tenancyv1alpha1.ReasonClassInvalid, message: fmt.Sprintf("class %q: %s", class.Name, ready.Message)}
	}
	return nil
}

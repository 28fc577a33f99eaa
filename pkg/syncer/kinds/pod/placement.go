// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// checkPlacement answers what a pod says about nodes. A tenant sees virtual
// nodes only: what they satisfy is satisfied, and the super cluster's own nodes
// cannot be chosen or avoided.
func checkPlacement(ctx context.Context, b *build) error {
	spec := &b.tenant.Spec
	if spec.NodeName != "" && !bound(b.tenant) {
		return kind.Reject("spec.nodeName", "the platform places pods; remove it")
	}
	if spec.SchedulerName != "" && spec.SchedulerName != corev1.DefaultSchedulerName {
		return kind.Reject("spec.schedulerName", "only %s is available; remove it", corev1.DefaultSchedulerName)
	}
	if len(spec.NodeSelector) == 0 && spec.Affinity == nil {
		return nil
	}
	node, err := virtualNode(ctx, b.env)
	if err != nil {
		return err
	}
	if !containsAll(node.Labels, spec.NodeSelector) {
		b.env.Warn("spec.nodeSelector", "it does not match the virtual node and has no effect")
	}
	warnAffinity(b, node)
	return nil
}

func containsAll(labels, wanted map[string]string) bool {
	for key, value := range wanted {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}

func warnAffinity(b *build, node *corev1.Node) {
	affinity := b.tenant.Spec.Affinity
	if affinity == nil {
		return
	}
	if affinity.NodeAffinity != nil {
		required := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
		if required != nil && !slices.ContainsFunc(required.NodeSelectorTerms, func(term corev1.NodeSelectorTerm) bool { return matchesTerm(node, term) }) {
			b.env.Warn("spec.affinity.nodeAffinity", "it does not match the virtual node and has no effect")
		}
	}
	if affinity.PodAffinity != nil {
		b.env.Warn("spec.affinity.podAffinity", "pods cannot be placed beside others yet; the field has no effect")
	}
	if affinity.PodAntiAffinity != nil {
		b.env.Warn("spec.affinity.podAntiAffinity", "pods cannot be kept apart yet; the field has no effect, use topologySpreadConstraints")
	}
}

// matchesTerm reports whether the node satisfies all requirements of a term.
func matchesTerm(node *corev1.Node, term corev1.NodeSelectorTerm) bool {
	if len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0 {
		return false
	}
	for _, requirement := range term.MatchExpressions {
		value, has := node.Labels[requirement.Key]
		if !matchesRequirement(requirement, value, has) {
			return false
		}
	}
	for _, requirement := range term.MatchFields {
		if requirement.Key != "metadata.name" || !matchesRequirement(requirement, node.Name, true) {
			return false
		}
	}
	return true
}

func matchesRequirement(requirement corev1.NodeSelectorRequirement, value string, has bool) bool {
	switch requirement.Operator {
	case corev1.NodeSelectorOpIn:
		return has && slices.Contains(requirement.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !has || !slices.Contains(requirement.Values, value)
	case corev1.NodeSelectorOpExists:
		return has
	case corev1.NodeSelectorOpDoesNotExist:
		return !has
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		return has && compares(requirement, value)
	default:
		return false
	}
}

func compares(requirement corev1.NodeSelectorRequirement, value string) bool {
	if len(requirement.Values) != 1 {
		return false
	}
	got, gotErr := strconv.ParseInt(value, 10, 64)
	limit, limitErr := strconv.ParseInt(requirement.Values[0], 10, 64)
	if gotErr != nil || limitErr != nil {
		return false
	}
	if requirement.Operator == corev1.NodeSelectorOpGt {
		return got > limit
	}
	return got < limit
}

// virtualNode returns the node that the tenant sees its pods on.
func virtualNode(ctx context.Context, env kind.Env) (*corev1.Node, error) {
	var node corev1.Node
	if err := env.Tenant.Get(ctx, types.NamespacedName{Name: tenancyv1alpha1.VirtualNodeName}, &node); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, kind.Wait("node %s", tenancyv1alpha1.VirtualNodeName)
		}
		return nil, fmt.Errorf("reading the virtual node: %w", err)
	}
	return &node, nil
}

// nodeAddresses returns the internal addresses of a node.
func nodeAddresses(node *corev1.Node) []string {
	var addresses []string
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			addresses = append(addresses, address.Address)
		}
	}
	return addresses
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// checkPlacement answers what a pod says about nodes. A tenant sees virtual
// nodes only, so this does what the tenant's scheduler would do with them: what
// they satisfy is satisfied, and a pod that none of them takes stays Pending.
// The super cluster's own nodes cannot be chosen or avoided.
func checkPlacement(ctx context.Context, b *build) error {
	spec := &b.tenant.Spec
	if spec.NodeName != "" && !bound(b.tenant) {
		return kind.Reject("spec.nodeName", "the platform places pods; remove it")
	}
	if spec.SchedulerName != "" && spec.SchedulerName != corev1.DefaultSchedulerName {
		return kind.Reject("spec.schedulerName", "only %s is available; remove it", corev1.DefaultSchedulerName)
	}
	node, err := virtualNode(ctx, b.env)
	if kind.IsWait(err) && len(spec.NodeSelector) == 0 && spec.Affinity == nil {
		return nil // not registered yet: it has nothing to say against a pod that asks nothing of it
	}
	if err != nil {
		return err
	}
	if reason := whyNot(logr.FromContextOrDiscard(ctx), spec, node); reason != "" {
		return kind.Unplaced("%s1 %s.", policy.UnplacedPrefix, reason)
	}
	return nil
}

// whyNot returns why a node does not take a pod, in a scheduler's words and
// order, or "".
func whyNot(log logr.Logger, spec *corev1.PodSpec, node *corev1.Node) string {
	tolerated := func(taint corev1.Taint) bool {
		return slices.ContainsFunc(spec.Tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(log, &taint, true) })
	}
	cordon := corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule}
	if node.Spec.Unschedulable && !tolerated(cordon) {
		return "node(s) were unschedulable"
	}
	if slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return keepsAway(t) && !tolerated(t) }) {
		return "node(s) had untolerated taint(s)"
	}
	if !containsAll(node.Labels, spec.NodeSelector) || !matchesAffinity(node, spec.Affinity) {
		return "node(s) didn't match Pod's node affinity/selector"
	}
	return ""
}

// keepsAway reports taints that keep new pods from a node. Those that speak of
// the health of a virtual node's agent do not: the machines that run its pods
// are others.
func keepsAway(taint corev1.Taint) bool {
	if taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeUnreachable {
		return false
	}
	return taint.Effect == corev1.TaintEffectNoSchedule || taint.Effect == corev1.TaintEffectNoExecute
}

func containsAll(labels, wanted map[string]string) bool {
	for key, value := range wanted {
		if got, ok := labels[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// matchesAffinity reports whether the node satisfies what is required of it.
// What is merely preferred chooses between nodes, of which there is one.
func matchesAffinity(node *corev1.Node, affinity *corev1.Affinity) bool {
	if affinity == nil || affinity.NodeAffinity == nil || affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return true
	}
	terms := affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	return slices.ContainsFunc(terms, func(term corev1.NodeSelectorTerm) bool { return matchesTerm(node, term) })
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

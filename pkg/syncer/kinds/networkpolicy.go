// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// networkPolicy restricts the tenant's pods as the tenant asks. Peers in other
// namespaces become a list of the tenant's own super namespaces by name, so
// that a policy neither opens nor meets anything of another tenant; it is
// written again when a namespace comes, goes or changes its labels.
func networkPolicy() kind.Downward[*networkingv1.NetworkPolicy] {
	rules := policy.NetworkPolicyFields()
	return kind.Downward[*networkingv1.NetworkPolicy]{
		Object:       &networkingv1.NetworkPolicy{},
		HideMetadata: true,
		Triggers:     []kind.Trigger{{From: &corev1.Namespace{}}},
		Down: func(ctx context.Context, env kind.Env, tenant, super *networkingv1.NetworkPolicy) error {
			spec, err := filter(env, rules, tenant.Spec.DeepCopy())
			if err != nil {
				return err
			}
			if err := checkPodSelector("spec.podSelector", &spec.PodSelector); err != nil {
				return err
			}
			for i, rule := range tenant.Spec.Ingress {
				if err := rewritePeers(ctx, env, fmt.Sprintf("spec.ingress[%d].from", i), rule.From, spec.Ingress[i].From); err != nil {
					return err
				}
			}
			for i, rule := range tenant.Spec.Egress {
				if err := rewritePeers(ctx, env, fmt.Sprintf("spec.egress[%d].to", i), rule.To, spec.Egress[i].To); err != nil {
					return err
				}
			}
			super.Spec = *spec
			return nil
		},
	}
}

// rewritePeers gives every peer that selects namespaces the super namespaces
// that it means. No peer is dropped: a rule without peers allows everything.
func rewritePeers(ctx context.Context, env kind.Env, field string, tenant, super []networkingv1.NetworkPolicyPeer) error {
	for i, peer := range tenant {
		path := fmt.Sprintf("%s[%d]", field, i)
		if err := checkPodSelector(path+".podSelector", peer.PodSelector); err != nil {
			return err
		}
		if peer.NamespaceSelector == nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(peer.NamespaceSelector)
		if err != nil {
			return kind.Reject(path+".namespaceSelector", "%v", err)
		}
		names, err := superNamespaces(ctx, env, selector)
		if err != nil {
			return err
		}
		super[i].NamespaceSelector = selectNamespaces(names)
	}
	return nil
}

// superNamespaces returns the super names of the tenant's namespaces with these labels.
func superNamespaces(ctx context.Context, env kind.Env, selector labels.Selector) ([]string, error) {
	var tenantNamespaces corev1.NamespaceList
	if err := env.Tenant.List(ctx, &tenantNamespaces); err != nil {
		return nil, fmt.Errorf("listing the tenant's namespaces: %w", err)
	}
	var names []string
	for _, namespace := range tenantNamespaces.Items {
		if selector.Matches(labels.Set(namespace.Labels)) {
			names = append(names, env.Names.Namespace(namespace.Name))
		}
	}
	slices.Sort(names)
	return names, nil
}

// selectNamespaces selects namespaces by the name that the API server writes on
// each, which nobody can change. No name selects nothing, by a contradiction:
// an empty selector would select all.
func selectNamespaces(names []string) *metav1.LabelSelector {
	requirements := []metav1.LabelSelectorRequirement{{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: names}}
	if len(names) == 0 {
		requirements = []metav1.LabelSelectorRequirement{
			{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpExists},
			{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpDoesNotExist},
		}
	}
	return &metav1.LabelSelector{MatchExpressions: requirements}
}

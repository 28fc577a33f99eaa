// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) NetworkPolicy() kindtest.Sample {
	return kindtest.Sample{
		Tenant: &networkingv1.NetworkPolicy{ObjectMeta: meta("shop", "closed"), Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{
				{NamespaceSelector: &metav1.LabelSelector{}}, {PodSelector: &metav1.LabelSelector{}}, {IPBlock: &networkingv1.IPBlock{CIDR: "192.0.2.0/24"}},
			}}},
		}},
		Reader: tenantNamespaces(),
	}
}

func tenantNamespaces() client.Reader {
	namespace := func(name, tier string) client.Object {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tier": tier, corev1.LabelMetadataName: name}}}
	}
	return readerOf(namespace("shop", "front"), namespace("db", "back"), namespace("cache", "back"))
}

// TestPeersStayInTheTenant: whatever a policy selects, it means namespaces of its
// tenant, by name, and a selector that matches none selects nothing.
func TestPeersStayInTheTenant(t *testing.T) {
	own := kindtest.Env(nil, nil).Names.Namespace
	named := func(names ...string) *metav1.LabelSelector {
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpIn, Values: names}}}
	}
	pods := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	cases := map[string]struct {
		peer, want networkingv1.NetworkPolicyPeer
	}{
		"all namespaces": {networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{}},
			networkingv1.NetworkPolicyPeer{NamespaceSelector: sortedNames(named(own("cache"), own("db"), own("shop")))}},
		"one by name": {networkingv1.NetworkPolicyPeer{NamespaceSelector: named("db"), PodSelector: pods},
			networkingv1.NetworkPolicyPeer{NamespaceSelector: named(own("db")), PodSelector: pods}},
		"one of the platform's": {networkingv1.NetworkPolicyPeer{NamespaceSelector: named("kube-system")},
			networkingv1.NetworkPolicyPeer{NamespaceSelector: selectNamespaces(nil)}},
		"its own super namespace": {networkingv1.NetworkPolicyPeer{NamespaceSelector: named(own("db"))},
			networkingv1.NetworkPolicyPeer{NamespaceSelector: selectNamespaces(nil)}},
		"by a label that nobody has": {networkingv1.NetworkPolicyPeer{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "none"}}},
			networkingv1.NetworkPolicyPeer{NamespaceSelector: selectNamespaces(nil)}},
		"pods of its own namespace": {networkingv1.NetworkPolicyPeer{PodSelector: pods}, networkingv1.NetworkPolicyPeer{PodSelector: pods}},
		"addresses": {networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}}},
			networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0", Except: []string{"10.0.0.0/8"}}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenant := &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{
				Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{tc.peer}}},
				Egress:  []networkingv1.NetworkPolicyEgressRule{{}, {To: []networkingv1.NetworkPolicyPeer{tc.peer}}},
			}}
			super := &networkingv1.NetworkPolicy{}
			if err := networkPolicy().Down(t.Context(), kindtest.Env(tenantNamespaces(), nil), tenant, super); err != nil {
				t.Fatal(err)
			}
			want := networkingv1.NetworkPolicySpec{
				Ingress: []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{tc.want}}},
				Egress:  []networkingv1.NetworkPolicyEgressRule{{}, {To: []networkingv1.NetworkPolicyPeer{tc.want}}},
			}
			if diff := cmp.Diff(want, super.Spec); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// sortedNames sorts the names of a selector: digests follow no order.
func sortedNames(selector *metav1.LabelSelector) *metav1.LabelSelector {
	slices.Sort(selector.MatchExpressions[0].Values)
	return selector
}

// TestNoNamespaceIsNotAll: the selector of nothing matches not even a namespace
// without labels, nor one with the label that it speaks of.
func TestNoNamespaceIsNotAll(t *testing.T) {
	selector, err := metav1.LabelSelectorAsSelector(selectNamespaces(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []labels.Set{nil, {corev1.LabelMetadataName: "x"}} {
		if selector.Matches(set) {
			t.Errorf("it matches %v", set)
		}
	}
}

func TestPolicySelectsByLabelsThatCross(t *testing.T) {
	tenant := &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{
		MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "sidecar.istio.io/inject", Operator: metav1.LabelSelectorOpDoesNotExist}},
	}}}
	err := networkPolicy().Down(t.Context(), kindtest.Env(tenantNamespaces(), nil), tenant, &networkingv1.NetworkPolicy{})
	if reject := kind.AsReject(err); reject == nil || reject.Field != "spec.podSelector.matchExpressions" {
		t.Errorf("error %v", err)
	}
}

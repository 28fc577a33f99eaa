// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// testIngress shares an IngressClass of the super cluster, whose controller
// this test plays: the local cluster has none.
func testIngress(t *testing.T, w *workload) {
	class := &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e"}, Spec: networkingv1.IngressClassSpec{Controller: "example.com/e2e"},
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(superClient.Delete(context.WithoutCancel(t.Context()), class)); err != nil {
			t.Error(err)
		}
	})
	if err := superClient.Create(t.Context(), class); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the IngressClass in the tenant", func(ctx context.Context) error {
		return w.client.Get(ctx, client.ObjectKey{Name: class.Name}, &networkingv1.IngressClass{})
	})
	w.apply(t, "ingress.yaml")
	superIngress := &networkingv1.Ingress{}
	w.getSuper(t, "shop", superIngress)
	w.getSuper(t, "shop-tls", &corev1.Secret{})
	if got := superIngress.Spec.Rules; len(got) != 1 || got[0].Host != "shop.example.test" || got[0].HTTP.Paths[0].Backend.Service.Name != "web" {
		t.Errorf("the super Ingress has the rules %+v", got)
	}
	before := superIngress.DeepCopy()
	superIngress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.80"}}
	if err := superClient.Status().Patch(t.Context(), superIngress, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the address in the tenant", func(ctx context.Context) error {
		ingress := &networkingv1.Ingress{}
		if err := w.fetch(ctx, "shop", ingress); err != nil {
			return err
		}
		if got := ingress.Status.LoadBalancer.Ingress; len(got) != 1 || got[0].IP != "192.0.2.80" {
			return fmt.Errorf("it says %v", got)
		}
		return nil
	})
}

// testNetworkPolicy looks at what the super cluster is asked to enforce; the
// local cluster's network plug-in enforces no policy, so traffic proves nothing.
func testNetworkPolicy(t *testing.T, w *workload) {
	w.apply(t, "networkpolicy.yaml")
	namespaces := func() []string {
		superPolicy := &networkingv1.NetworkPolicy{}
		w.getSuper(t, "only-friends", superPolicy)
		from := superPolicy.Spec.Ingress[0].From
		if superPolicy.Spec.PodSelector.MatchLabels["app"] != "web" || len(from) != 2 || from[1].NamespaceSelector != nil {
			t.Fatalf("the super policy is %+v", superPolicy.Spec)
		}
		var names []string
		for _, requirement := range from[0].NamespaceSelector.MatchExpressions {
			if requirement.Key == corev1.LabelMetadataName && requirement.Operator == metav1.LabelSelectorOpIn {
				names = append(names, requirement.Values...)
			}
		}
		if from[0].NamespaceSelector.MatchLabels["friend"] != "" {
			t.Error("a namespace label of the tenant reached the super cluster")
		}
		return names
	}
	friend := w.names().Namespace("friendly")
	if got := namespaces(); slices.Contains(got, friend) {
		t.Fatalf("before there is a friend the policy lets in %v", got)
	}
	if err := w.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "friendly", Labels: map[string]string{"friend": "yes"},
	}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the friend let in", func(context.Context) error {
		if got := namespaces(); !slices.Contains(got, friend) {
			return fmt.Errorf("the policy lets in %v", got)
		}
		return nil
	})
}

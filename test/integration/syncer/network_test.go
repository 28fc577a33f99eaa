// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// testPeers: a policy follows the tenant's namespaces as they come, change their
// labels and go, and selects nothing when there is none.
func testPeers(t *testing.T, e *environment, tn *tenant) {
	back := &metav1.LabelSelector{MatchLabels: map[string]string{"tier": "back"}}
	must(t, tn.client.Create(t.Context(), &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "from-back"},
		Spec: networkingv1.NetworkPolicySpec{Ingress: []networkingv1.NetworkPolicyIngressRule{{
			From: []networkingv1.NetworkPolicyPeer{{NamespaceSelector: back}},
		}}},
	}))
	names := func(want ...string) {
		t.Helper()
		eventually(t, fmt.Sprintf("peers in %v", want), func(ctx context.Context) error {
			var policy networkingv1.NetworkPolicy
			if err := e.superClient.Get(ctx, tn.superKey("default", "from-back"), &policy); err != nil {
				return err
			}
			if len(policy.Spec.Ingress) != 1 || len(policy.Spec.Ingress[0].From) != 1 {
				return fmt.Errorf("it lets in %+v", policy.Spec.Ingress)
			}
			if got := policy.Spec.Ingress[0].From[0].NamespaceSelector.MatchExpressions[0].Values; !slices.Equal(got, want) {
				return fmt.Errorf("it lets in %v", got)
			}
			return nil
		})
	}
	names()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "db", Labels: back.MatchLabels}}
	must(t, tn.client.Create(t.Context(), namespace))
	names(tn.names.Namespace("db"))
	must(t, tn.client.Patch(t.Context(), namespace, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"tier":null}}}`))))
	names()
}

// testStaleEndpoint: when the pod goes that an address was, nothing leads there
// any more, even if the tenant keeps its own pod and its status.
func testStaleEndpoint(t *testing.T, e *environment, tn *tenant) {
	pod := makePod("default", "stale")
	pod.Finalizers = []string{"example.com/hold"}
	must(t, tn.client.Create(t.Context(), pod))
	superPod := &corev1.Pod{}
	eventually(t, "the super pod", func(ctx context.Context) error {
		return e.superClient.Get(ctx, tn.superKey("default", "stale"), superPod)
	})
	status := `{"status":{"phase":"Running","podIP":"10.244.9.9","podIPs":[{"ip":"10.244.9.9"}]}}`
	must(t, e.superClient.Status().Patch(t.Context(), superPod, client.RawPatch(types.MergePatchType, []byte(status))))
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: "stale", Labels: map[string]string{discoveryv1.LabelServiceName: "stale"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.9.9"}}, {Addresses: []string{"10.0.0.99"}}},
	}
	must(t, tn.client.Create(t.Context(), slice))
	leadsTo := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d endpoints", want), func(ctx context.Context) error {
			var superSlice discoveryv1.EndpointSlice
			if err := e.superClient.Get(ctx, tn.superKey("default", "stale"), &superSlice); err != nil {
				return err
			}
			if len(superSlice.Endpoints) != want {
				return fmt.Errorf("it leads to %+v", superSlice.Endpoints)
			}
			return nil
		})
	}
	leadsTo(1)
	eventually(t, "the event about the other", func(ctx context.Context) error {
		return oneEventAbout(ctx, tn, slice, "endpoints[1].addresses")
	})
	must(t, e.superClient.Delete(t.Context(), superPod, client.GracePeriodSeconds(0)))
	leadsTo(0)
	must(t, tn.client.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))))
}

// testCrosswiseNodePorts: each of two Services has in the tenant the port that
// the other has in the super cluster, which neither can take while the other holds it.
func testCrosswiseNodePorts(t *testing.T, e *environment, tn *tenant, stop func()) {
	service := func(name string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}},
		}}
	}
	one, two := service("crosswise-1"), service("crosswise-2")
	var superOne, superTwo corev1.Service
	agree := func(ctx context.Context) error {
		err := errors.Join(
			tn.client.Get(ctx, client.ObjectKeyFromObject(one), one), tn.client.Get(ctx, client.ObjectKeyFromObject(two), two),
			e.superClient.Get(ctx, tn.superKey("default", one.Name), &superOne), e.superClient.Get(ctx, tn.superKey("default", two.Name), &superTwo))
		if err != nil {
			return err
		}
		for _, pair := range [][2]*corev1.Service{{one, &superOne}, {two, &superTwo}} {
			tenant, super := pair[0].Spec, pair[1].Spec
			if tenant.Type != corev1.ServiceTypeNodePort || tenant.ClusterIP != super.ClusterIP || tenant.Ports[0].NodePort != super.Ports[0].NodePort {
				return fmt.Errorf("tenant %+v, super %+v", tenant, super)
			}
		}
		return nil
	}
	must(t, tn.client.Create(t.Context(), one))
	must(t, tn.client.Create(t.Context(), two))
	eventually(t, "both have their ports", agree)
	// The super cluster swaps them, by a third, while no syncer looks.
	stop()
	first, second := superOne.Spec.Ports[0].NodePort, superTwo.Spec.Ports[0].NodePort
	set := func(service *corev1.Service, port int32) {
		t.Helper()
		before := service.DeepCopy()
		service.Spec.Ports[0].NodePort = port
		must(t, e.superClient.Patch(t.Context(), service, client.MergeFrom(before)))
	}
	free := 30000 + (first-30000+second-30000+1)%2768
	for free == first || free == second {
		free++
	}
	set(&superOne, free)
	set(&superTwo, first)
	set(&superOne, second)
	e.startSyncer(t)
	eventually(t, "both have the ports that the super cluster says", func(ctx context.Context) error {
		if err := agree(ctx); err != nil {
			return err
		}
		if one.Spec.Ports[0].NodePort != second || two.Spec.Ports[0].NodePort != first {
			return fmt.Errorf("ports %d and %d", one.Spec.Ports[0].NodePort, two.Spec.Ports[0].NodePort)
		}
		return nil
	})
}

// testTakenAddress: the super cluster has given an address to somebody else. The
// Service gets another, is what it was, and its owner is told.
func testTakenAddress(t *testing.T, e *environment, tn *tenant) {
	taken := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "moves"},
		Spec: corev1.ServiceSpec{
			ClusterIP: "10.112.1.77", Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal,
			LoadBalancerClass: ptr.To("example.com/lb"), Selector: map[string]string{"a": "b"}, Ports: []corev1.ServicePort{{Port: 80}},
		},
	}
	must(t, e.superClient.Create(t.Context(), &corev1.Service{ObjectMeta: taken.ObjectMeta, Spec: corev1.ServiceSpec{
		ClusterIP: taken.Spec.ClusterIP, Ports: taken.Spec.Ports,
	}}))
	must(t, tn.client.Create(t.Context(), taken))
	eventually(t, "another address", func(ctx context.Context) error {
		var superService corev1.Service
		if err := errors.Join(
			tn.client.Get(ctx, client.ObjectKeyFromObject(taken), taken), e.superClient.Get(ctx, tn.superKey("default", "moves"), &superService)); err != nil {
			return err
		}
		spec := taken.Spec
		if spec.ClusterIP == "10.112.1.77" || spec.ClusterIP != superService.Spec.ClusterIP || len(taken.Annotations) > 0 {
			return fmt.Errorf("tenant %+v, super %+v", taken, superService.Spec)
		}
		if spec.Type != corev1.ServiceTypeLoadBalancer || spec.ExternalName != "" || spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal || *spec.LoadBalancerClass != "example.com/lb" {
			return fmt.Errorf("it is not what it was: %+v", spec)
		}
		return oneEventAbout(ctx, tn, taken, "spec.clusterIP")
	})
}

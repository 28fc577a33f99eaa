// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) EndpointSlice() kindtest.Sample {
	return kindtest.Sample{
		Tenant: &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: "db-1", UID: "u", Labels: map[string]string{discoveryv1.LabelServiceName: "db", discoveryv1.LabelManagedBy: "me"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.20"}}},
		},
		SuperReader: superPods(),
	}
}

// superPods is the super cluster as the tenant may know it: pods by address.
func superPods() client.Reader {
	pod := func(name, ip string, phase corev1.PodPhase) client.Object {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "vc-demo-shop-x", Name: name}, Status: corev1.PodStatus{Phase: phase, PodIPs: []corev1.PodIP{{IP: ip}}}}
	}
	return fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).
		WithObjects(pod("runs", "10.244.0.20", corev1.PodRunning), pod("ended", "10.244.0.21", corev1.PodSucceeded)).
		WithIndex(&corev1.Pod{}, kind.FieldPodIP, func(object client.Object) []string { return []string{object.(*corev1.Pod).Status.PodIPs[0].IP} }).Build()
}

func TestEndpointSliceSelect(t *testing.T) {
	labelled := func(labels map[string]string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: labels}}
	}
	cases := map[string]struct {
		slice *discoveryv1.EndpointSlice
		want  bool
	}{
		"the API server's":      {labelled(map[string]string{discoveryv1.LabelServiceName: "kubernetes"}), true},
		"written by the tenant": {labelled(map[string]string{discoveryv1.LabelServiceName: "db", discoveryv1.LabelManagedBy: "me"}), true},
		"made from Endpoints":   {labelled(map[string]string{discoveryv1.LabelServiceName: "db", discoveryv1.LabelManagedBy: "endpointslicemirroring-controller.k8s.io"}), true},
		"made from a selector":  {labelled(map[string]string{discoveryv1.LabelServiceName: "db", discoveryv1.LabelManagedBy: sliceController}), false},
		"one of no Service":     {labelled(nil), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := endpointSlice().Select(tc.slice); got != tc.want {
				t.Errorf("selected: %v", got)
			}
		})
	}
}

// TestEndpointsLeadToThePodsOfTheTenant: a Service that led elsewhere would make
// the super cluster's nodes connect, with their own address, wherever the tenant likes.
func TestEndpointsLeadToThePodsOfTheTenant(t *testing.T) {
	all := []string{"10.244.0.20", "10.244.0.21", "10.244.0.9", "169.254.169.254", "10.96.0.1"}
	cases := map[string]struct {
		key  types.NamespacedName
		want []string
	}{
		"a Service":                      {types.NamespacedName{Namespace: "shop", Name: "db"}, []string{"10.244.0.20"}},
		"the API server's":               {types.NamespacedName{Namespace: "default", Name: "kubernetes"}, []string{"10.244.0.9"}},
		"one called like the API server": {types.NamespacedName{Namespace: "shop", Name: "kubernetes"}, []string{"10.244.0.20"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			warned := 0
			env := kindtest.Env(nil, func(string, string) { warned++ })
			env.Super = superPods()
			node, super := "other-node", &discoveryv1.EndpointSlice{}
			tenant := &discoveryv1.EndpointSlice{
				ObjectMeta:  metav1.ObjectMeta{Namespace: tc.key.Namespace, Labels: map[string]string{discoveryv1.LabelServiceName: tc.key.Name}},
				AddressType: discoveryv1.AddressTypeIPv4,
				Endpoints: []discoveryv1.Endpoint{
					{Addresses: all, NodeName: &node, TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "kube-system", Name: "x"}},
					{Addresses: []string{"10.0.0.1"}},
				},
			}
			if err := endpointSliceDown(t.Context(), env, tenant, super); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]discoveryv1.Endpoint{{Addresses: tc.want}}, super.Endpoints); diff != "" {
				t.Errorf("endpoints (-want +got):\n%s", diff)
			}
			if warned != len(all) || super.Labels[discoveryv1.LabelManagedBy] != sliceManager {
				t.Errorf("%d warnings, labels %v", warned, super.Labels)
			}
		})
	}
	err := endpointSliceDown(t.Context(), kindtest.Env(nil, nil), &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeFQDN}, &discoveryv1.EndpointSlice{})
	if kind.AsReject(err) == nil {
		t.Errorf("names as addresses: %v", err)
	}
}

func TestSlicesAreLookedAtAgainWhenAPodGoes(t *testing.T) {
	slice := samples{}.EndpointSlice().Tenant
	made := slice.DeepCopyObject().(*discoveryv1.EndpointSlice)
	made.Name, made.Labels[discoveryv1.LabelManagedBy] = "made", sliceController
	reader := readerOf(slice, made)
	for ip, want := range map[string]int{"10.244.0.20": 1, "10.244.0.99": 0} {
		pod := &corev1.Pod{Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: ip}}}}
		if keys := slicesWithAddress(t.Context(), reader, pod); len(keys) != want {
			t.Errorf("%s: %v", ip, keys)
		}
	}
}

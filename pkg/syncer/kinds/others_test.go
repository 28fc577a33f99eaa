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

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func TestSecretTypes(t *testing.T) {
	cases := map[corev1.SecretType]corev1.SecretType{
		corev1.SecretTypeOpaque:              corev1.SecretTypeOpaque,
		corev1.SecretTypeServiceAccountToken: corev1.SecretTypeOpaque,
		corev1.SecretTypeBootstrapToken:      corev1.SecretTypeOpaque,
		"example.com/own":                    corev1.SecretTypeOpaque,
		corev1.SecretTypeDockerConfigJson:    corev1.SecretTypeDockerConfigJson,
		corev1.SecretTypeTLS:                 corev1.SecretTypeTLS,
	}
	for tenant, want := range cases {
		if got := superSecretType(tenant); got != want {
			t.Errorf("%s becomes %s, want %s", tenant, got, want)
		}
	}
}

func TestNamespaceEnforcesBaseline(t *testing.T) {
	super := &corev1.Namespace{}
	if err := namespace().Down(t.Context(), kindtest.Env(nil, nil), &corev1.Namespace{}, super); err != nil {
		t.Fatal(err)
	}
	if got := super.Labels["pod-security.kubernetes.io/enforce"]; got != "baseline" {
		t.Errorf("enforce=%q", got)
	}
}

func TestEndpointSlice(t *testing.T) {
	selected := endpointSlice().Select
	for name, tc := range map[string]struct {
		slice discoveryv1.EndpointSlice
		want  bool
	}{
		"the API server's":      {discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}}}, true},
		"another namespace's":   {discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "other", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}}}, false},
		"another Service's":     {discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}}, false},
		"one without a Service": {discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}}, false},
	} {
		if got := selected(&tc.slice); got != tc.want {
			t.Errorf("%s: selected %v", name, got)
		}
	}
	tenant := &discoveryv1.EndpointSlice{Endpoints: []discoveryv1.Endpoint{
		{Addresses: []string{"10.244.0.9", "169.254.169.254"}}, {Addresses: []string{"10.96.0.1"}},
	}}
	super := &discoveryv1.EndpointSlice{}
	if err := endpointSliceDown(t.Context(), kindtest.Env(nil, nil), tenant, super); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]discoveryv1.Endpoint{{Addresses: []string{"10.244.0.9"}}}, super.Endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	if super.Labels[discoveryv1.LabelManagedBy] != sliceManager {
		t.Errorf("labels %v", super.Labels)
	}
}

func TestEvents(t *testing.T) {
	cases := map[string]struct {
		change      func(*corev1.Event)
		visible     bool
		wantMessage string
	}{
		"scheduled":        {func(*corev1.Event) {}, true, "Successfully assigned shop/db-0 to virtual-node-0"},
		"about a node":     {func(e *corev1.Event) { e.InvolvedObject.Kind = "Node" }, false, ""},
		"about our secret": {func(e *corev1.Event) { e.Message = `MountVolume failed: secret "vc-reserved-pod-x" not found` }, false, ""},
		"about our configmap": {func(e *corev1.Event) {
			e.Message = "configmap vc-demo-shop-x/vc-reserved-kube-root-ca.crt not registered"
		}, false, ""},
		"preempted": {func(e *corev1.Event) {
			e.Reason, e.Message = "Preempted", "Preempted by pod 1234 on node super-node-7"
		}, true, "Preempted by pod 1234 on node virtual-node-0"},
		"kubelet": {func(e *corev1.Event) { e.Reason, e.Message = "Failed", "on super-node-1: no" }, true, "on virtual-node-0: no"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			super, tenant := sampleEvent(), &corev1.Event{}
			tc.change(super)
			if got := eventVisible(super); got != tc.visible {
				t.Fatalf("visible: %v", got)
			}
			if !tc.visible {
				return
			}
			owner := kind.Subject{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "db-0"}, UID: "u", Super: types.NamespacedName{Namespace: "vc-demo-shop-x", Name: "db-0"}}
			owner.Object = &corev1.Pod{Spec: corev1.PodSpec{NodeName: "super-node-7"}}
			if err := eventUp(kindtest.Env(nil, nil), super, owner, tenant); err != nil {
				t.Fatal(err)
			}
			if tenant.Message != tc.wantMessage || tenant.InvolvedObject.UID != "u" || tenant.Source.Host != "virtual-node-0" {
				t.Errorf("got %+v", tenant)
			}
		})
	}
}

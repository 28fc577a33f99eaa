// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) Event() kindtest.Sample {
	return kindtest.Sample{
		Super:   sampleEvent(),
		Subject: kind.Subject{NamespacedName: types.NamespacedName{Namespace: "shop", Name: "db-0"}, UID: "u", Super: types.NamespacedName{Namespace: "vc-demo-shop-x", Name: "db-0"}},
		Secrets: []string{"vc-demo-shop-x", "super-node-1"},
	}
}

func sampleEvent() *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: "vc-demo-shop-x", Name: "db-0.1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "vc-demo-shop-x", Name: "db-0", UID: "super"},
		Reason:         "Scheduled", Message: "Successfully assigned vc-demo-shop-x/db-0 to super-node-1",
		Source: corev1.EventSource{Component: "default-scheduler", Host: "super-node-1"},
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
		}, true, "Preempted by a pod of a higher priority"},
		"no place": {func(e *corev1.Event) {
			e.Reason, e.Message = "FailedScheduling", "0/9 nodes are available: 9 Insufficient cpu."
		}, true, "0/1 nodes are available: 1 Insufficient cpu."},
		"kubelet": {func(e *corev1.Event) { e.Reason, e.Message = "Failed", "on super-node-1: no" }, true, "on virtual-node-0: no"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			super, tenant := sampleEvent(), &corev1.Event{}
			tc.change(super)
			if got := eventVisible(kind.Facts{}, super); got != tc.visible {
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

// TestUrgentEvents: what goes wrong is told first.
func TestUrgentEvents(t *testing.T) {
	urgent := event().Translator().Urgent
	for eventType, want := range map[string]bool{corev1.EventTypeWarning: true, corev1.EventTypeNormal: false, "": false} {
		if got := urgent(&corev1.Event{Type: eventType}); got != want {
			t.Errorf("%q is urgent: %v", eventType, got)
		}
	}
}

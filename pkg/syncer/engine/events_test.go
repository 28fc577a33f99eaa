// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func TestWarnTellsOnce(t *testing.T) {
	tenantClient := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).Build()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: strings.Repeat("a", 253), UID: "u"}}
	clock := clocktesting.NewFakePassiveClock(time.Unix(1_000_000, 0))
	for range 2 {
		r := newRecorder(clock) // the second stands for a restarted syncer
		for range 3 {
			r.warn(t.Context(), tenantClient, pod, ReasonRejected, "spec.hostNetwork: no")
		}
		r.warn(t.Context(), tenantClient, pod, ReasonFailed, strings.Repeat("long ", 1000))
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "n"}}
	newRecorder(clock).warn(t.Context(), tenantClient, namespace, ReasonRejected, "metadata.name: no")
	var events corev1.EventList
	if err := tenantClient.List(t.Context(), &events); err != nil {
		t.Fatal(err)
	}
	byNamespace := map[string]int{}
	for _, event := range events.Items {
		byNamespace[event.Namespace]++
		if event.Type != corev1.EventTypeWarning || len(event.Message) > 1024 || len(event.Name) > 253 || event.InvolvedObject.Kind == "" {
			t.Errorf("event %+v", event)
		}
	}
	if byNamespace["shop"] != 2 || byNamespace["default"] != 1 {
		t.Errorf("events by namespace: %v, want two about the pod and one about the namespace", byNamespace)
	}
}

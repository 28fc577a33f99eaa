// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// whole is a pod with what makes comparing hard: maps, quantities and times.
func whole() *corev1.Pod {
	started := metav1.NewTime(time.Unix(1_000_000, 0))
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Labels: map[string]string{"a": "1", "b": "2", "c": "3"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi")},
		}}}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, StartTime: &started},
	}
}

func TestEqual(t *testing.T) {
	custom := func(value string) client.Object {
		return &unstructured.Unstructured{Object: map[string]any{"kind": "Widget", "spec": map[string]any{"a": value}}}
	}
	for name, tc := range map[string]struct {
		a, b       client.Object
		equal      bool
		onlyStatus bool
	}{
		"a copy":            {whole(), whole().DeepCopy(), true, true},
		"nothing and empty": {whole(), changed(func(p *corev1.Pod) { p.Annotations = map[string]string{} }), true, true},
		"another way to say it": {whole(), changed(func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("1000m")
		}), true, true},
		"another label":   {whole(), changed(func(p *corev1.Pod) { p.Labels["a"] = "2" }), false, false},
		"another spec":    {whole(), changed(func(p *corev1.Pod) { p.Spec.NodeName = "node" }), false, false},
		"another status":  {whole(), changed(func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }), false, true},
		"both":            {whole(), changed(func(p *corev1.Pod) { p.Status.Phase, p.Spec.NodeName = corev1.PodFailed, "node" }), false, false},
		"no status":       {&corev1.ConfigMap{}, &corev1.ConfigMap{Data: map[string]string{"a": "b"}}, false, false},
		"custom":          {custom("a"), custom("a"), true, false},
		"custom, changed": {custom("a"), custom("b"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := equal(tc.a, tc.b); got != tc.equal {
				t.Errorf("equal: %v", got)
			}
			if got := onlyStatusDiffers(tc.a, tc.b); got != tc.onlyStatus {
				t.Errorf("only the status differs: %v", got)
			}
		})
	}
}

func changed(change func(*corev1.Pod)) *corev1.Pod {
	pod := whole()
	change(pod)
	return pod
}

// BenchmarkEqual: benchstat shows what a comparison costs, of which each pass
// makes two.
func BenchmarkEqual(b *testing.B) {
	one, other := whole(), whole()
	b.ReportAllocs()
	for b.Loop() {
		if !equal(one, other) {
			b.Fatal("not equal")
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package stored

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPodsShareTheirParts: two pods of one Deployment, in whatever caches they are.
func TestPodsShareTheirParts(t *testing.T) {
	transforms := NewTransforms()
	one, other := transformed(t, transforms, "web-1"), transformed(t, transforms, "web-2")
	for name, parts := range map[string][2]any{
		"tolerations": {&one.Spec.Tolerations[0], &other.Spec.Tolerations[0]},
		"conditions":  {&one.Status.Conditions[0], &other.Status.Conditions[0]},
		"hosts":       {&one.Status.HostIPs[0], &other.Status.HostIPs[0]},
	} {
		if parts[0] != parts[1] {
			t.Errorf("%s: in memory twice", name)
		}
	}
	if diff := cmp.Diff("web-1 web-2", one.Spec.Containers[0].Env[0].Value+" "+other.Spec.Containers[0].Env[0].Value); diff != "" {
		t.Errorf("what differs became the same: -want +got:\n%s", diff)
	}
}

// TestAPodIsTransformedTwice: an informer may do so while others read what the
// pod shares with them. With -race this tells whether they are left alone.
func TestAPodIsTransformedTwice(t *testing.T) {
	transforms := NewTransforms()
	reader, again := transformed(t, transforms, "web-1"), transformed(t, transforms, "web-1")
	for i := range 3 * generation { // the pool has forgotten them
		same(transforms.pool, new(map[string]string), &metav1.ObjectMeta{Labels: map[string]string{"i": fmt.Sprint(i)}})
	}
	before := reader.DeepCopy()
	if _, err := transforms.Transform()(again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, reader); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if &again.Spec.Containers[0] == &reader.Spec.Containers[0] {
		t.Error("what was looked through anew is what another pod shows")
	}
}

func TestPoolIsBounded(t *testing.T) {
	p := newPool()
	popular := &metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}
	first := popular.Labels
	same(p, &first, popular)
	for i := range 10 * generation {
		labels := map[string]string{"i": fmt.Sprint(i)}
		same(p, &labels, &metav1.ObjectMeta{Labels: labels})
		if i%100 == 0 {
			again := map[string]string{"app": "web"}
			if !same(p, &again, &metav1.ObjectMeta{Labels: again}) {
				t.Fatal("what is met again and again was forgotten")
			}
		}
	}
	if n := len(p.young) + len(p.old); n > 2*generation {
		t.Errorf("%d values are remembered, want at most %d", n, 2*generation)
	}
	large := map[string]string{"a": string(make([]byte, maxShared))}
	for range 2 {
		if same(p, &large, &metav1.ObjectMeta{Labels: large}) {
			t.Error("what is large was remembered")
		}
	}
}

func TestEventsShareTheirWords(t *testing.T) {
	event := func(name string) *corev1.Event {
		data, err := (&corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "scheduler"}}},
			Reason:     "Scheduled", InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: name},
		}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		own := &corev1.Event{}
		if err := own.Unmarshal(data); err != nil {
			t.Fatal(err)
		}
		object, err := NewTransforms().Transform()(own)
		if err != nil {
			t.Fatal(err)
		}
		return object.(*corev1.Event)
	}
	one, other := event("web-1"), event("web-2")
	if !sameString(one.Reason, other.Reason) || !sameString(one.InvolvedObject.Kind, other.InvolvedObject.Kind) {
		t.Error("a word is in memory twice")
	}
	if one.Name != "web-1" || one.InvolvedObject.Name != "web-1" || one.ManagedFields != nil {
		t.Errorf("it does not mean the same: %v", one)
	}
}

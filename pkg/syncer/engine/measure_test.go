// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

func TestCreatedAt(t *testing.T) {
	second := time.Unix(1_000_000, 0)
	cases := map[string]struct {
		created, added, want time.Time
	}{
		"asked for in the same second": {second, second.Add(300 * time.Millisecond), second.Add(300 * time.Millisecond)},
		"asked for later":              {second, second.Add(5 * time.Second), second},
		"a clock that is ahead":        {second.Add(time.Hour), second, second.Add(time.Hour)},
		"unknown":                      {time.Time{}, second, second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(tc.created)}}
			if got := createdAt(pod, tc.added); !got.Equal(tc.want) {
				t.Errorf("created at %s, want %s", got, tc.want)
			}
		})
	}
}

// TestLatencies: a pod is made 3 s after its creation, and what becomes of it
// is told 2 s after the first of the changes that was not told yet.
func TestLatencies(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	objects := tenantObjects("new")
	objects[1].SetCreationTimestamp(metav1.NewTime(clock.Now().Add(-3 * time.Second)))
	inTenant, inSuper := newSide(objects...), newSide(superObjects("new")[:1]...)
	withoutSecret := process()
	withoutSecret.Attach = nil
	registry := prometheus.NewRegistry()
	e, err := New(Options{Super: inSuper, Kinds: []*kind.Translator{withoutSecret.Translator()}, Clock: clock, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	tn := newTenant(t.Context(), fleet.NewTenant(inTenant, "tenant-1", virtualCluster, fleet.Facts{}))
	e.equip(tn)
	tn.synced.Store(true)
	e.tenants["tenant-1"] = tn
	c, r := e.controllers[0], req("tenant-1", "web").in("shop")
	key := types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}
	serve := func() {
		c.serve(t.Context(), r, clock.Now())
	}
	serve()
	var superPod corev1.Pod
	if !exists(t, inSuper.live, key, &superPod) {
		t.Fatal("there is no super pod")
	}
	superPod.Status.Phase = corev1.PodRunning
	if err := inSuper.live.Status().Update(t.Context(), &superPod); err != nil {
		t.Fatal(err)
	}
	changed := c.superEvent(t.Context())
	changed(&superPod, false)
	clock.Step(2 * time.Second)
	changed(&superPod, false)
	serve()
	serve() // nothing is left to tell
	if diff := cmp.Diff(map[string]float64{"down": 3, "up": 2}, latencies(t, registry)); diff != "" {
		t.Errorf("seconds by direction (-want +got):\n%s", diff)
	}
}

// latencies returns the sums of the latency histograms.
func latencies(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "virtualcluster_syncer_sync_latency_seconds" {
			continue
		}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if label.GetName() == "direction" {
					sums[label.GetValue()] = metric.GetHistogram().GetSampleSum()
				}
			}
		}
	}
	return sums
}

// TestTroublesAreCounted: by state, until they are over or the tenant is gone.
func TestTroublesAreCounted(t *testing.T) {
	e, err := New(Options{Super: newSide(superObjects("new")...), Kinds: []*kind.Translator{process().Translator()}})
	if err != nil {
		t.Fatal(err)
	}
	c := e.controllers[0]
	settle := func(tenant, name string, err error) {
		tn := newTenant(t.Context(), fleet.NewTenant(newSide(), tenant, virtualCluster, fleet.Facts{}))
		c.settle(t.Context(), &pass{controller: c, tenantCluster: tn, request: req(tenant, name)}, 0, err)
	}
	settle("a", "1", kind.Reject("spec", "no"))
	settle("a", "2", kind.Reject("spec", "no"))
	settle("a", "2", nil)
	settle("a", "3", errors.New("broken"))
	settle("b", "1", errors.New("broken"))
	settle("b", "2", kind.Wait("a node"))
	settle("b", "3", &keptError{})
	want := map[string]int{stateRejected: 1, stateFailed: 2, stateWaiting: 1, stateHeld: 1}
	if diff := cmp.Diff(want, c.troubles.count()); diff != "" {
		t.Errorf("by state (-want +got):\n%s", diff)
	}
	c.troubles.dropTenant("b")
	if diff := cmp.Diff(map[string]int{stateRejected: 1, stateFailed: 1}, c.troubles.count()); diff != "" {
		t.Errorf("by state (-want +got):\n%s", diff)
	}
	e.countObjects(t.Context(), c)
}

// TestDriftIsRepaired: whoever edits or deletes a super object out of band sees
// it as it was, by the event of that change.
func TestDriftIsRepaired(t *testing.T) {
	configMap := kind.Downward[*corev1.ConfigMap]{
		Object: &corev1.ConfigMap{}, Down: func(_ context.Context, _ kind.Env, tenant, super *corev1.ConfigMap) error {
			super.Data = tenant.Data
			return nil
		},
	}
	key := types.NamespacedName{Namespace: superNamespaceName(), Name: "settings"}
	inTenant := newSide(tenantObjects("new")[0], &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "settings", UID: "u"}, Data: map[string]string{"a": "1"},
	})
	inSuper := newSide(superObjects("new")[0])
	e, err := New(Options{Super: inSuper, Kinds: []*kind.Translator{configMap.Translator()}})
	if err != nil {
		t.Fatal(err)
	}
	tn := newTenant(t.Context(), fleet.NewTenant(inTenant, "tenant-1", virtualCluster, fleet.Facts{}))
	e.equip(tn)
	tn.synced.Store(true)
	e.tenants["tenant-1"] = tn
	c := e.controllers[0]
	serve := func() {
		t.Helper()
		if c.queue.Len() != 1 {
			t.Fatalf("%d requests wait", c.queue.Len())
		}
		r, added, _ := c.queue.Get()
		c.serve(t.Context(), r, added)
		c.queue.Done(r)
	}
	current := func() *corev1.ConfigMap {
		t.Helper()
		var super corev1.ConfigMap
		if !exists(t, inSuper.live, key, &super) || super.Data["a"] != "1" {
			t.Fatalf("the super object is %+v", super)
		}
		return &super
	}
	c.queue.Add(req("tenant-1", "settings").in("shop"), begin)
	serve()
	edited := current()
	edited.Data = map[string]string{"a": "2"}
	if err := inSuper.live.Update(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	c.superEvent(t.Context())(edited, false)
	serve()
	deleted := current()
	if err := inSuper.live.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	c.superEvent(t.Context())(deleted, true)
	serve()
	current()
}

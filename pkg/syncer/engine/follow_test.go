// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// flakyCache fails on the last kind of object as often as told, and counts the handlers.
type flakyCache struct {
	cache.Cache
	cache.Informer
	failures, asked, handlers int
	handler                   toolscache.ResourceEventHandler
}

func (f *flakyCache) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	if f.asked++; f.asked == 2 && f.failures > 0 {
		f.failures, f.asked = f.failures-1, 0
		return nil, errors.New("the tenant does not answer")
	}
	return f, nil
}

func (f *flakyCache) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	f.handlers++
	f.handler = handler
	return f, nil
}

func (f *flakyCache) HasSynced() bool                          { return true }
func (f *flakyCache) HasSyncedChecker() toolscache.DoneChecker { return nil }

// cachedSide is a side whose cache is seen.
type cachedSide struct {
	*side
	cache cache.Cache
}

func (s *cachedSide) GetCache() cache.Cache { return s.cache }

// TestAnotherAttemptLeavesOneHandler: a tenant that does not answer while it is
// engaged is asked again; what it says then is not heard several times.
func TestAnotherAttemptLeavesOneHandler(t *testing.T) {
	first, second := process(), process()
	first.Uses = []client.Object{&corev1.ConfigMap{}} // that is only read
	e, err := New(Options{Super: newSide(), Kinds: []*kind.Translator{first.Translator(), second.Translator()}})
	if err != nil {
		t.Fatal(err)
	}
	flaky := &flakyCache{failures: 3}
	tn := newTenant(t.Context(), fleet.NewTenant(&cachedSide{newSide(), flaky}, "tenant-1", virtualCluster, fleet.Facts{}))
	attempts := 1
	for e.watchTenant(tn) != nil {
		attempts++
	}
	if attempts != 4 || flaky.handlers != 1 {
		t.Errorf("%d attempts left %d handlers, want 4 and one for the type of both kinds", attempts, flaky.handlers)
	}
}

// TestWhoIsAWitness: of a deletion that a list implies nobody knows why; one
// that is under way, or that the watch tells, was wanted.
func TestWhoIsAWitness(t *testing.T) {
	now := metav1.Now()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "new"}}
	going := pod.DeepCopy()
	going.DeletionTimestamp = &now
	cases := map[string]struct {
		happens func(toolscache.ResourceEventHandler)
		seen    bool
	}{
		"it is there":               {func(h toolscache.ResourceEventHandler) { h.OnAdd(pod, false) }, false},
		"it is being deleted":       {func(h toolscache.ResourceEventHandler) { h.OnUpdate(pod, going) }, true},
		"it was being deleted":      {func(h toolscache.ResourceEventHandler) { h.OnAdd(going, true) }, true},
		"the watch says it is gone": {func(h toolscache.ResourceEventHandler) { h.OnDelete(pod) }, true},
		"a list does not have it": {func(h toolscache.ResourceEventHandler) {
			h.OnDelete(toolscache.DeletedFinalStateUnknown{Key: "shop/web", Obj: pod})
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e, err := New(Options{Super: newSide(), Kinds: []*kind.Translator{process().Translator()}})
			if err != nil {
				t.Fatal(err)
			}
			informer := &flakyCache{}
			tn := newTenant(t.Context(), fleet.NewTenant(&cachedSide{newSide(), informer}, "tenant-1", virtualCluster, fleet.Facts{}))
			if err := e.watchTenant(tn); err != nil {
				t.Fatal(err)
			}
			tc.happens(informer.handler)
			r := request{Tenant: "tenant-1", NamespacedName: client.ObjectKeyFromObject(pod)}
			if seen := e.controllers[0].witness.has(r, "new"); seen != tc.seen {
				t.Errorf("seen: %v", seen)
			}
		})
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package stored

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	cachetesting "k8s.io/client-go/tools/cache/testing"
)

func configMap(name, value string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: "uid"}, Data: map[string]string{"key": value}}
}

// heard passes on what a handler is told, one word for each call.
type heard chan string

func (h heard) OnAdd(object any, inInitialList bool) {
	word := "add "
	if inInitialList {
		word = "list "
	}
	h <- word + object.(*corev1.ConfigMap).Name
}

func (h heard) OnUpdate(old, object any) {
	h <- "update " + old.(*corev1.ConfigMap).Data["key"] + " " + object.(*corev1.ConfigMap).Data["key"]
}

func (h heard) OnDelete(object any) {
	if last, unknown := object.(cache.DeletedFinalStateUnknown); unknown {
		object = last.Obj
	}
	h <- "delete " + object.(*corev1.ConfigMap).Name
}

func (h heard) wants(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-h:
		if got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("heard nothing, want %q", want)
	}
}

// running returns an informer of what source has, and a function that ends it.
func running(t *testing.T, source cache.ListerWatcher, handlers ...cache.ResourceEventHandler) (cache.SharedIndexInformer, func()) {
	t.Helper()
	i := NewInformer(source, &corev1.ConfigMap{}, 0, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := i.SetTransform(func(object any) (any, error) {
		object.(*corev1.ConfigMap).UID = ""
		return object, nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, handler := range handlers {
		if _, err := i.AddEventHandler(handler); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { i.RunWithContext(ctx) })
	stop := func() {
		cancel()
		run.Wait()
	}
	t.Cleanup(stop)
	return i, stop
}

func TestInformerTellsWhatHappens(t *testing.T) {
	source := cachetesting.NewFakeControllerSource()
	t.Cleanup(source.Shutdown)
	source.Add(configMap("a", "1"))
	h := make(heard, 100)
	i, _ := running(t, source, h)
	h.wants(t, "list a")
	source.Add(configMap("b", "1"))
	h.wants(t, "add b")
	source.Modify(configMap("a", "2"))
	h.wants(t, "update 1 2")
	source.Delete(configMap("b", "1"))
	h.wants(t, "delete b")
	shop, err := i.GetIndexer().ByIndex(cache.NamespaceIndex, "shop")
	if err != nil || len(shop) != 1 || shop[0].(*corev1.ConfigMap).UID != "" {
		t.Errorf("the cache holds %v (%v), want one object without its UID", shop, err)
	}
}

func TestInformerIsSyncedWhenItsHandlersAre(t *testing.T) {
	source := cachetesting.NewFakeControllerSource()
	t.Cleanup(source.Shutdown)
	source.Add(configMap("a", "1"))
	h := make(heard) // the handler is slow
	i, _ := running(t, source, h)
	if i.HasSynced() {
		t.Error("synced before the handler has seen the list")
	}
	h.wants(t, "list a")
	<-i.HasSyncedChecker().Done()
	registration, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{})
	if err != nil {
		t.Fatal(err)
	}
	<-registration.HasSyncedChecker().Done()
	if !registration.HasSynced() || !i.HasSynced() {
		t.Error("not synced")
	}
}

func TestInformerTellsALateHandlerWhatIsThere(t *testing.T) {
	source := cachetesting.NewFakeControllerSource()
	t.Cleanup(source.Shutdown)
	source.Add(configMap("a", "1"))
	first, late := make(heard, 100), make(heard, 100)
	i, stop := running(t, source, first)
	<-i.HasSyncedChecker().Done()
	registration, err := i.AddEventHandler(late)
	if err != nil {
		t.Fatal(err)
	}
	late.wants(t, "add a")
	if !registration.HasSynced() {
		t.Error("a handler that was told everything is not synced")
	}
	source.Add(configMap("b", "1"))
	late.wants(t, "add b")
	if err := i.RemoveEventHandler(registration); err != nil {
		t.Fatal(err)
	}
	source.Add(configMap("c", "1"))
	first.wants(t, "list a")
	first.wants(t, "add b")
	first.wants(t, "add c")
	stop()
	if len(late) > 0 {
		t.Errorf("a handler that was removed heard %q", <-late)
	}
	if _, err := i.AddEventHandler(late); err == nil || !i.IsStopped() {
		t.Error("an informer that has stopped took a handler")
	}
}

// TestAHandlerMayAsk: it looks into caches, its own among them.
func TestAHandlerMayAsk(t *testing.T) {
	source := cachetesting.NewFakeControllerSource()
	t.Cleanup(source.Shutdown)
	asked := make(chan int, 100)
	var i cache.SharedIndexInformer
	handler := cache.ResourceEventHandlerFuncs{AddFunc: func(any) {
		_ = i.HasSynced()
		asked <- len(i.GetIndexer().List())
	}}
	i, _ = running(t, source)
	<-i.HasSyncedChecker().Done()
	if _, err := i.AddEventHandler(handler); err != nil {
		t.Fatal(err)
	}
	source.Add(configMap("a", "1"))
	if n := <-asked; n != 1 {
		t.Errorf("the handler found %d objects, want 1", n)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package stored

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
)

// Returned by an informer for what it does not do.
var (
	errStarted        = errors.New("the informer has been started")
	errStopped        = errors.New("the informer has been stopped")
	errNoErrorHandler = errors.New("the informer logs what goes wrong with its watch, and tells nobody else")
)

// NewInformer makes the informers of a cache whose handlers are quick. It is for
// caches of which there are thousands: client-go's shared informer has a buffer
// of 16 KiB and two goroutines for each handler, and three goroutines more, all
// of which mostly wait. Here the goroutine that fills the cache calls the
// handlers, one after the other. A handler must not wait for anything that this
// informer does; what comes meanwhile waits in the informer's queue.
func NewInformer(source cache.ListerWatcher, example runtime.Object, resync time.Duration, indexers cache.Indexers) cache.SharedIndexInformer {
	i := &informer{mutations: cache.NewCacheMutationDetector("stored")}
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: source, ObjectType: example, ResyncPeriod: resync, Indexers: indexers,
		Handler: i, Transform: i.transformed,
	})
	i.indexer, i.Controller = store.(cache.Indexer), controller
	return i
}

type informer struct {
	cache.Controller
	indexer   cache.Indexer
	transform cache.TransformFunc // set before it is started
	mutations cache.MutationDetector

	mu               sync.Mutex // held while handlers are called
	handlers         []*registration
	started, stopped bool
}

// registration is one handler.
type registration struct {
	informer *informer
	handler  cache.ResourceEventHandler
}

var (
	_ cache.SharedIndexInformer  = &informer{}
	_ cache.ResourceEventHandler = &informer{}
)

// HasSynced implements cache.ResourceEventHandlerRegistration: the informer is
// synced when the handlers have seen all that it listed first.
func (r *registration) HasSynced() bool { return r.informer.HasSynced() }

// HasSyncedChecker implements cache.ResourceEventHandlerRegistration.
func (r *registration) HasSyncedChecker() cache.DoneChecker { return r.informer.HasSyncedChecker() }

func (i *informer) transformed(object any) (any, error) {
	if i.transform == nil {
		return object, nil
	}
	return i.transform(object)
}

// OnAdd implements cache.ResourceEventHandler.
func (i *informer) OnAdd(object any, isInInitialList bool) {
	i.mutations.AddObject(object)
	i.tell(func(h cache.ResourceEventHandler) { h.OnAdd(object, isInInitialList) })
}

// OnUpdate implements cache.ResourceEventHandler.
func (i *informer) OnUpdate(old, object any) {
	i.mutations.AddObject(object)
	i.tell(func(h cache.ResourceEventHandler) { h.OnUpdate(old, object) })
}

// OnDelete implements cache.ResourceEventHandler.
func (i *informer) OnDelete(object any) {
	i.tell(func(h cache.ResourceEventHandler) { h.OnDelete(object) })
}

func (i *informer) tell(call func(cache.ResourceEventHandler)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, r := range i.handlers {
		call(r.handler)
	}
}

// AddEventHandler implements cache.SharedInformer. The handler is told of what is
// there before it returns. What is being told just now it may hear twice.
func (i *informer) AddEventHandler(handler cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopped {
		return nil, errStopped
	}
	r := &registration{informer: i, handler: handler}
	i.handlers = append(i.handlers, r)
	inInitialList := !i.HasSynced()
	for _, object := range i.indexer.List() {
		handler.OnAdd(object, inInitialList)
	}
	return r, nil
}

// AddEventHandlerWithResyncPeriod implements cache.SharedInformer; there is one
// period for all.
func (i *informer) AddEventHandlerWithResyncPeriod(handler cache.ResourceEventHandler, _ time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(handler)
}

// AddEventHandlerWithOptions implements cache.SharedInformer.
func (i *informer) AddEventHandlerWithOptions(handler cache.ResourceEventHandler, _ cache.HandlerOptions) (cache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(handler)
}

// RemoveEventHandler implements cache.SharedInformer. The handler is not called
// any more when it returns.
func (i *informer) RemoveEventHandler(handle cache.ResourceEventHandlerRegistration) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.handlers = slices.DeleteFunc(i.handlers, func(r *registration) bool { return r == handle })
	return nil
}

// Run implements cache.SharedInformer.
func (i *informer) Run(stop <-chan struct{}) { i.RunWithContext(wait.ContextForChannel(stop)) }

// RunWithContext implements cache.SharedInformer.
func (i *informer) RunWithContext(ctx context.Context) {
	i.mu.Lock()
	again := i.started
	i.started = true
	i.mu.Unlock()
	if again {
		return
	}
	var detecting sync.WaitGroup
	defer detecting.Wait()
	detecting.Go(func() { i.mutations.Run(ctx.Done()) }) // it ends at once, unless it is on
	i.Controller.RunWithContext(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.stopped = true
}

// HasSynced implements cache.SharedInformer. Handlers may ask: it takes no lock.
func (i *informer) HasSynced() bool {
	select {
	case <-i.HasSyncedChecker().Done():
		return true
	default:
		return false
	}
}

// IsStopped implements cache.SharedInformer.
func (i *informer) IsStopped() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.stopped
}

// SetTransform implements cache.SharedInformer.
func (i *informer) SetTransform(transform cache.TransformFunc) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.started {
		return errStarted
	}
	i.transform = transform
	return nil
}

// AddIndexers implements cache.SharedIndexInformer.
func (i *informer) AddIndexers(indexers cache.Indexers) error {
	if i.IsStopped() {
		return errStopped
	}
	return i.indexer.AddIndexers(indexers)
}

// GetStore implements cache.SharedInformer.
func (i *informer) GetStore() cache.Store { return i.indexer }

// GetIndexer implements cache.SharedIndexInformer.
func (i *informer) GetIndexer() cache.Indexer { return i.indexer }

// GetController implements cache.SharedInformer.
func (i *informer) GetController() cache.Controller { return i.Controller }

// SetWatchErrorHandler implements cache.SharedInformer.
func (i *informer) SetWatchErrorHandler(cache.WatchErrorHandler) error { return errNoErrorHandler }

// SetWatchErrorHandlerWithContext implements cache.SharedInformer.
func (i *informer) SetWatchErrorHandlerWithContext(cache.WatchErrorHandlerWithContext) error {
	return errNoErrorHandler
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// overlayTTL bounds how long a write may be newer than the cache. It matters
// only if the object came and went between two lists of the cache.
const overlayTTL = 15 * time.Second

// overlayKey names an object on one side of one tenant.
type overlayKey struct {
	tenant string
	types.NamespacedName
}

// overlay shows the engine's own writes until the watch cache has seen them,
// so that the reconcile that follows a write at once does not write again. Where
// the cache shows nothing it shows only what was created: of an object that was
// changed the cache knew, so that nothing means gone.
type overlay struct {
	clock clock.PassiveClock

	mu      sync.Mutex
	objects map[overlayKey]written
}

type written struct {
	object client.Object
	at     time.Time
	// created says that the cache may never have seen the object.
	created bool
}

func newOverlay(c clock.PassiveClock) *overlay {
	return &overlay{clock: c, objects: map[overlayKey]written{}}
}

// created remembers what the API server returned for a creation.
func (o *overlay) created(key overlayKey, object client.Object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.objects[key] = written{object: object, at: o.clock.Now(), created: true}
}

// changed remembers what the API server returned for a patch.
func (o *overlay) changed(key overlayKey, object client.Object) {
	o.mu.Lock()
	defer o.mu.Unlock()
	last, ok := o.objects[key]
	unseen := ok && last.created && last.object.GetUID() == object.GetUID()
	o.objects[key] = written{object: object, at: o.clock.Now(), created: unseen}
}

// forget drops a key, after a deletion or when the truth is unknown.
func (o *overlay) forget(key overlayKey) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.objects, key)
}

// observe tells what the cache has seen; deleted says that the object is gone.
// It reports whether that is the engine's own last write and no more: a pass has
// seen it already.
func (o *overlay) observe(key overlayKey, object client.Object, deleted bool) (echo bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w, ok := o.objects[key]
	if !ok {
		return false
	}
	if (deleted && w.object.GetUID() == object.GetUID()) || !isOlder(object, w.object) {
		delete(o.objects, key)
	}
	return !deleted && object.GetUID() == w.object.GetUID() && object.GetResourceVersion() == w.object.GetResourceVersion()
}

// latest returns the newer of the cache's object, which may be nil, and the
// engine's own last write. As what a cache returns, it must not be changed.
func (o *overlay) latest(key overlayKey, cached client.Object) client.Object {
	o.mu.Lock()
	defer o.mu.Unlock()
	w, ok := o.objects[key]
	if !ok {
		return cached
	}
	known := cached == nil && !w.created || cached != nil && !isOlder(cached, w.object)
	if known || o.clock.Since(w.at) > overlayTTL {
		delete(o.objects, key)
		return cached
	}
	return w.object
}

// holds reports whether what was remembered of a key, which no cache is asked
// about, is the object of this UID.
func (o *overlay) holds(key overlayKey, uid types.UID) bool {
	object := o.latest(key, nil)
	return object != nil && object.GetUID() == uid
}

// dropTenant forgets everything about a tenant.
func (o *overlay) dropTenant(tenant string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key := range o.objects {
		if key.tenant == tenant {
			delete(o.objects, key)
		}
	}
}

// isOlder compares resource versions of one API server. Versions that cannot
// be compared count as not older: the cache wins.
func isOlder(a, b client.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order < 0
}

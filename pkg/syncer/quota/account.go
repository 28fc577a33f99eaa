// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// account is what one tenant may have, has and waits for.
type account struct {
	mu      sync.Mutex
	limit   corev1.ResourceList
	used    corev1.ResourceList // the sum of the entries
	entries map[types.NamespacedName]*entry
	waiters waiters
	loaded  bool
	// ended holds what ended before the account was loaded: the list may have it still.
	ended map[types.UID]struct{}
	// freed says that there is more room than when the waiters were last looked through.
	freed bool
}

// entry is one object of the super cluster. While a change of it is on its way,
// the larger of what it is and what it will be counts.
type entry struct {
	uid      types.UID // of what was observed
	version  string
	observed corev1.ResourceList
	reserved *reservation
}

type reservation struct {
	// uid is empty for an object that is being created; stands is the UID of the
	// tenant's object.
	uid, stands types.UID
	demand      corev1.ResourceList
}

func (e *entry) counts() corev1.ResourceList {
	if e.reserved == nil {
		return e.observed
	}
	return larger(e.observed, e.reserved.demand)
}

func (a *account) isLoaded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.loaded
}

func (a *account) load(holdings []Holding) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, holding := range holdings {
		if _, ended := a.ended[holding.UID]; !ended {
			a.observe(holding)
		}
	}
	a.loaded = true
	clear(a.ended)
}

// change runs a change and returns whom it may make room for.
func (a *account) change(do func()) []types.NamespacedName {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
	return a.callable()
}

func (a *account) setLimit(limit corev1.ResourceList) []types.NamespacedName {
	a.mu.Lock()
	defer a.mu.Unlock()
	if equality.Semantic.DeepEqual(a.limit, limit) {
		return nil
	}
	a.limit = limit.DeepCopy()
	return a.waiters.renew() // those that do not fit now either are told of the other quota
}

// everyone returns all that wait: there is no quota any more.
func (a *account) everyone() []types.NamespacedName {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.waiters.renew()
}

func (a *account) observe(h Holding) {
	if h.Demand == nil {
		a.gone(h.Key, h.UID)
		return
	}
	e := a.entries[h.Key]
	if e != nil && e.uid == h.UID && isOlder(h.Version, e.version) {
		return
	}
	a.update(h.Key, func(e *entry) {
		e.uid, e.version, e.observed = h.UID, h.Version, h.Demand
		if e.reserved != nil && e.reserved.uid == "" && e.reserved.stands == h.Stands {
			e.reserved = nil
		}
	})
}

func (a *account) gone(key types.NamespacedName, uid types.UID) {
	if !a.loaded {
		a.ended[uid] = struct{}{}
	}
	if a.entries[key] == nil {
		return
	}
	a.update(key, func(e *entry) {
		if e.uid == uid {
			e.uid, e.version, e.observed = "", "", nil
		}
		if e.reserved != nil && e.reserved.uid == uid {
			e.reserved = nil
		}
	})
}

func (a *account) reserve(h Holding, waiter types.NamespacedName) error {
	if !a.loaded {
		return ErrNotLoaded
	}
	e := a.entries[h.Key]
	var has corev1.ResourceList
	if e != nil {
		has = e.observed
	}
	more := growth(has, h.Demand)
	if len(more) == 0 {
		return nil // what it has counts until less is seen
	}
	if e != nil && e.reserved != nil { // this takes its place
		a.update(h.Key, func(e *entry) { e.reserved = nil })
	}
	if !fits(a.limit, a.used, more) {
		// Somebody was faster than one that was called: what is left may do for others.
		a.freed = a.waiters.answered(h.Key) || a.freed
		return a.waiters.add(h.Key, waiter, more, func() error { return exceeded(a.limit, a.used, more) })
	}
	a.waiters.remove(h.Key)
	a.update(h.Key, func(e *entry) { e.reserved = &reservation{uid: h.UID, stands: h.Stands, demand: h.Demand} })
	return nil
}

// settle does nothing where a watch has shown the outcome already, and perhaps
// the end of it.
func (a *account) settle(h Holding) {
	if e := a.entries[h.Key]; e == nil || e.reserved == nil {
		return
	}
	if h.Demand == nil {
		a.release(h.Key)
		return
	}
	a.update(h.Key, func(e *entry) {
		e.reserved = nil
		if e.uid != h.UID || !isOlder(h.Version, e.version) {
			e.uid, e.version, e.observed = h.UID, h.Version, h.Demand
		}
	})
}

// skip has an object not wait any more. What it was called for is for others.
func (a *account) skip(key types.NamespacedName) {
	a.freed = a.waiters.remove(key) || a.freed
}

func (a *account) release(key types.NamespacedName) {
	a.skip(key)
	if e := a.entries[key]; e != nil && e.reserved != nil {
		a.update(key, func(e *entry) { e.reserved = nil })
	}
}

func (a *account) leave(key types.NamespacedName) {
	a.skip(key)
	if a.entries[key] != nil {
		a.update(key, func(e *entry) { *e = entry{} })
	}
}

// update changes an entry and the sum with it.
func (a *account) update(key types.NamespacedName, change func(*entry)) {
	e := a.entries[key]
	if e == nil {
		e = &entry{}
		a.entries[key] = e
	}
	before := e.counts()
	change(e)
	after := e.counts()
	subtract(a.used, before)
	add(a.used, after)
	a.freed = a.freed || len(growth(after, before)) > 0
	if e.uid == "" && e.reserved == nil {
		delete(a.entries, key)
	}
}

// callable returns the waiters that fit, one after the other, into the room there is.
func (a *account) callable() []types.NamespacedName {
	if !a.freed || !a.loaded {
		return nil
	}
	a.freed = false
	return a.waiters.fitting(a.limit, a.used)
}

// isOlder compares versions of one object. Those that cannot be compared are not older.
func isOlder(one, other string) bool {
	order, err := resourceversion.CompareResourceVersion(one, other)
	return err == nil && order < 0
}

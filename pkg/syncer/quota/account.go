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
	// closed says that the ledger has it no more: nobody may begin to wait here.
	closed bool
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
	// forerunner is what was seen under its name when it was asked for. It may be
	// seen again before it is seen to be gone.
	forerunner types.UID
	demand     corev1.ResourceList
	// doubt says that the answer to the request was lost.
	doubt bool
}

// shown reports whether h is what an object that is being created has become.
func (r *reservation) shown(h Holding) bool {
	return r.uid == "" && r.stands == h.Stands && r.forerunner != h.UID
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

// close ends an account that the ledger has no more, and returns all that wait.
func (a *account) close() []types.NamespacedName {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	return a.waiters.renew()
}

func (a *account) observe(h Holding) {
	e := a.entries[h.Key]
	if e != nil && e.reserved != nil && e.reserved.shown(h) {
		a.update(h.Key, func(e *entry) {
			e.uid, e.version, e.observed, e.reserved = h.UID, h.Version, h.Demand, nil
		})
	}
	switch {
	case h.Demand == nil:
		a.gone(h.Key, h.UID)
	case e != nil && isOlder(h.Version, e.version): // it, or its forerunner
	default:
		a.update(h.Key, func(e *entry) { e.uid, e.version, e.observed = h.UID, h.Version, h.Demand })
	}
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
	switch {
	case a.closed:
		return errClosed
	case !a.loaded:
		return ErrNotLoaded
	}
	var before entry
	if e := a.entries[h.Key]; e != nil {
		before = *e
	}
	more := growth(before.observed, h.Demand)
	if len(more) == 0 && before.uid == h.UID && h.UID != "" {
		return nil // what it has counts until less is seen
	}
	if before.reserved != nil { // this takes its place
		a.update(h.Key, func(e *entry) { e.reserved = nil })
	}
	if !fits(a.limit, a.used, more) {
		// Somebody was faster than one that was called: what is left may do for others.
		a.freed = a.waiters.answered(h.Key) || a.freed
		return a.waiters.add(h.Key, waiter, more, func() error { return exceeded(a.limit, a.used, more) })
	}
	a.waiters.remove(h.Key)
	wanted := &reservation{uid: h.UID, stands: h.Stands, forerunner: before.uid, demand: h.Demand}
	a.update(h.Key, func(e *entry) { e.reserved = wanted })
	return nil
}

// settle does nothing where a watch has shown the outcome already, and perhaps
// the end of it.
func (a *account) settle(h Holding) {
	if e := a.entries[h.Key]; e == nil || e.reserved == nil {
		return
	}
	if h.Demand == nil {
		a.skip(h.Key)
		a.update(h.Key, func(e *entry) { e.reserved = nil })
		a.gone(h.Key, h.UID)
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
	if e := a.entries[key]; e != nil && e.reserved != nil && !e.reserved.doubt {
		a.update(key, func(e *entry) { e.reserved = nil })
	}
}

// holds reports whether anything counts under a name, and whether nobody knows
// what became of the last request about it.
func (a *account) holds(key types.NamespacedName) (counts, doubt bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.entries[key]
	return e != nil, e != nil && e.reserved != nil && e.reserved.doubt
}

func (a *account) doubt(key types.NamespacedName) {
	if e := a.entries[key]; e != nil && e.reserved != nil {
		e.reserved.doubt = true
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
	var calls []types.NamespacedName
	for a.loaded && (a.freed || a.waiters.next != nil) {
		if a.waiters.next == nil {
			a.freed = false
		}
		calls = append(calls, a.waiters.fitting(a.limit, a.used)...)
		if a.waiters.next != nil {
			break // whom it called last goes on
		}
	}
	return calls
}

// isOlder compares versions of one resource. Those that cannot be compared are not older.
func isOlder(one, other string) bool {
	order, err := resourceversion.CompareResourceVersion(one, other)
	return err == nil && order < 0
}

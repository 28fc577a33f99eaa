// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"container/list"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// looks is how many waiters are looked at in a row. Whoever enters a change for
// one tenant may do so for others too, and must not be held up by one that has
// many waiters, each of which lacks something else.
const looks = 128

// waiters are what did not fit, in the order in which it came.
type waiters struct {
	order *list.List // of *waiter
	byKey map[types.NamespacedName]*list.Element
	// least is, for each resource, no more than any waiter asks for: where there is
	// less room than that, nobody has to be looked at.
	least corev1.ResourceList
	// promised is what those that were called, and have not come yet, ask for together.
	promised corev1.ResourceList
	// next is where a search that was broken off goes on, and passed the least that
	// those before it ask for. next is nil where there is no such search.
	next   *list.Element
	passed corev1.ResourceList
}

type waiter struct {
	call types.NamespacedName
	ask  corev1.ResourceList
	// told is what was said first, and is said again until the quota is another:
	// what is used changes all the time, and is no news.
	told error
	// called says that there was room for it, which it has not taken yet.
	called bool
}

// add has an object wait, or wait on, and returns what is said about it.
func (w *waiters) add(key, call types.NamespacedName, ask corev1.ResourceList, say func() error) error {
	element := w.byKey[key]
	if element == nil {
		element = w.order.PushBack(&waiter{call: call})
		w.byKey[key] = element
	}
	one := element.Value.(*waiter)
	if one.told == nil || !same(one.ask, ask) {
		one.told, one.ask = say(), ask
	}
	if w.order.Len() == 1 {
		w.least = ask.DeepCopy()
	} else {
		w.least = smaller(w.least, ask)
	}
	if w.passed != nil {
		w.passed = smaller(w.passed, ask)
	}
	return one.told
}

// remove takes one out, and reports whether there was room for it.
func (w *waiters) remove(key types.NamespacedName) (called bool) {
	called = w.answered(key)
	if element := w.byKey[key]; element != nil {
		if w.next == element {
			w.next = element.Next()
		}
		delete(w.byKey, key)
		w.order.Remove(element)
	}
	return called
}

// answered reports whether one was called, and has it wait on.
func (w *waiters) answered(key types.NamespacedName) (called bool) {
	element := w.byKey[key]
	if element == nil {
		return false
	}
	one := element.Value.(*waiter)
	if one.called {
		subtract(w.promised, one.ask)
	}
	called, one.called = one.called, false
	return called
}

// renew makes what was said untrue, and returns all.
func (w *waiters) renew() []types.NamespacedName {
	var calls []types.NamespacedName
	for element := w.order.Front(); element != nil; element = element.Next() {
		one := element.Value.(*waiter)
		one.told = nil
		calls = append(calls, one.call)
	}
	return calls
}

// fitting returns those that fit into what is left, each beside those that were
// called before it. It ends where there is no room for the least that anybody asks
// for: mostly all ask for the same, and few are looked at. After a number of looks
// it breaks off and calls the next one, fitting or not: when that one asks, the
// search goes on.
func (w *waiters) fitting(limit, used corev1.ResourceList) []types.NamespacedName {
	var calls []types.NamespacedName
	used = used.DeepCopy()
	add(used, w.promised)
	element := w.next
	if element == nil {
		element, w.passed = w.order.Front(), nil
	}
	w.next = nil
	for looked := 0; element != nil; element = element.Next() {
		if !fits(limit, used, w.least) {
			return calls
		}
		one := element.Value.(*waiter)
		if looked++; looked > looks {
			w.next = element
			return append(calls, one.call)
		}
		switch {
		case one.called:
			calls = append(calls, one.call)
		case fits(limit, used, one.ask):
			add(used, one.ask)
			add(w.promised, one.ask)
			calls, one.called = append(calls, one.call), true
		}
		if w.passed == nil {
			w.passed = one.ask
		} else {
			w.passed = smaller(w.passed, one.ask)
		}
	}
	w.least, w.passed = w.passed.DeepCopy(), nil
	return calls
}

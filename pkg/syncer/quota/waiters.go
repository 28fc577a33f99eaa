// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"container/list"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// waiters are what did not fit, in the order in which it came.
type waiters struct {
	order *list.List // of *waiter
	byKey map[types.NamespacedName]*list.Element
	// least is, for each resource, no more than any waiter asks for: where there is
	// less room than that, nobody has to be looked at.
	least corev1.ResourceList
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
	return one.told
}

// remove takes one out, and reports whether there was room for it.
func (w *waiters) remove(key types.NamespacedName) (called bool) {
	element := w.byKey[key]
	if element == nil {
		return false
	}
	delete(w.byKey, key)
	return w.order.Remove(element).(*waiter).called
}

// answered reports whether one was called, and has it wait on.
func (w *waiters) answered(key types.NamespacedName) (called bool) {
	element := w.byKey[key]
	if element == nil {
		return false
	}
	one := element.Value.(*waiter)
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

// fitting returns those that fit into what is left, each beside those before it.
// It ends where there is no room for the least that anybody asks for: mostly all
// ask for the same, and few are looked at.
func (w *waiters) fitting(limit, used corev1.ResourceList) []types.NamespacedName {
	var calls []types.NamespacedName
	var least corev1.ResourceList
	used = used.DeepCopy()
	for element := w.order.Front(); element != nil; element = element.Next() {
		if !fits(limit, used, w.least) {
			return calls
		}
		one := element.Value.(*waiter)
		if fits(limit, used, one.ask) {
			add(used, one.ask)
			calls = append(calls, one.call)
			one.called = true
		}
		if least == nil {
			least = one.ask
		} else {
			least = smaller(least, one.ask)
		}
	}
	w.least = least.DeepCopy()
	return calls
}

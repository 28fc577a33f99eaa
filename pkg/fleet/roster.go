// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

// Members that join at once spread their first connection over joinSpread for
// each of them, at most joinSpreadMax: a thousand take five seconds, one none.
const (
	joinSpread    = 5 * time.Millisecond
	joinSpreadMax = 15 * time.Second
)

// join makes sure that a member of this identity runs, with these facts. News
// about its control plane end a back-off; that the VirtualCluster changed does
// not: what this very back-off made somebody write there would end it. It
// reports false while an earlier member of this key is being disengaged.
func (f *Fleet) join(key types.NamespacedName, id, controlPlaneNamespace string, readySince metav1.Time, facts Facts) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m, ok := f.members[key]; ok {
		if m.leaving {
			return false
		}
		changed := m.facts.set(facts)
		if changed || !m.readySince.Equal(&readySince) {
			m.readySince = readySince
			m.hurryUp()
		}
		return true
	}
	if !f.options.Owns(id) {
		return true // it was ours a moment ago
	}
	log := ctrl.LoggerFrom(f.ctx).WithName("fleet").WithValues("virtualCluster", key, "tenant", id)
	ctx, cancel := context.WithCancel(ctrl.LoggerInto(f.ctx, log))
	m := &member{
		fleet: f, id: id, key: key, controlPlaneNamespace: controlPlaneNamespace, readySince: readySince,
		facts: newFactsCell(facts), cancel: cancel, done: make(chan struct{}),
		hurry: make(chan struct{}, 1), recheck: make(chan struct{}, 1),
	}
	f.members[key] = m
	go m.run(ctx, f.aware, f.firstPause())
	f.announce(key)
	return true
}

// firstPause is how long a new member waits before it dials. f.mu is held.
func (f *Fleet) firstPause() time.Duration {
	waiting := 0
	for _, m := range f.members {
		if m.untried() {
			waiting++
		}
	}
	spread := min(time.Duration(waiting-1)*joinSpread, joinSpreadMax)
	return time.Duration(rand.Float64() * float64(spread)) //nolint:gosec // a spread, not a secret.
}

// leave disengages a VirtualCluster, if it takes part, unless it has this id.
// An empty id disengages whatever is there.
func (f *Fleet) leave(key types.NamespacedName, unlessID string) {
	f.mu.Lock()
	m, ok := f.members[key]
	if !ok || (unlessID != "" && m.id == unlessID) {
		f.mu.Unlock()
		return
	}
	m.leaving = true
	f.mu.Unlock()
	f.remove(m)
}

// remove ends a member that is leaving. It takes part until it has ended: who
// waits for that may remove what it wrote.
func (f *Fleet) remove(m *member) {
	m.stop()
	f.mu.Lock()
	if f.members[m.key] == m {
		delete(f.members, m.key)
	}
	f.mu.Unlock()
	f.announce(m.key)
}

// Rebalance is called when Owns has changed. It disengages every tenant that is
// another replica's now and returns when that is done; tenants that have become
// this replica's are engaged soon afterwards.
func (f *Fleet) Rebalance() {
	var leaving []*member
	f.mu.Lock()
	for _, m := range f.members {
		if m.leaving || !f.options.Owns(m.id) {
			m.leaving = true
			m.cancel() // all of them, before the first is waited for
			leaving = append(leaving, m)
		}
	}
	f.mu.Unlock()
	for _, m := range leaving {
		f.remove(m)
	}
	select {
	case f.looks <- event.TypedGenericEvent[struct{}]{}:
	default: // a look is due anyhow
	}
}

// Size returns how many tenants this replica serves, connected or not.
func (f *Fleet) Size() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.members)
}

// KubeconfigChanged has the tenants of this control plane namespace read their
// kubeconfig again; one that has become another is connected anew.
func (f *Fleet) KubeconfigChanged(controlPlaneNamespace string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, m := range f.members {
		if m.controlPlaneNamespace == controlPlaneNamespace {
			m.hurryUp()
			m.checkKubeconfig()
		}
	}
}

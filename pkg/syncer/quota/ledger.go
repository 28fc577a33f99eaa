// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package quota

import (
	"container/list"
	"errors"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// ErrNotLoaded is returned by Reserve while nobody knows what the tenant has.
var ErrNotLoaded = errors.New("what the tenant has in the super cluster is not counted yet")

// errClosed is returned by an account that was replaced or dropped meanwhile.
var errClosed = errors.New("the account is closed")

// Holding is what an object of the super cluster asks for.
type Holding struct {
	// Key and UID are the super object's. UID is empty before it is created.
	Key types.NamespacedName
	UID types.UID
	// Stands is the UID of the tenant's object that it stands for.
	Stands types.UID
	// Version is the super object's resource version.
	Version string
	// Demand is what it asks for; nil for what asks for nothing any more.
	Demand corev1.ResourceList
}

// Ledger keeps an account for each tenant that has a quota. It is safe for
// concurrent use; the tenants do not wait for each other.
type Ledger struct {
	wake func(tenant string, waiter types.NamespacedName)

	mu       sync.RWMutex
	accounts map[string]*account
}

// New returns a ledger without accounts. wake is called, without a lock held,
// for each waiter that may fit now; see Reserve.
func New(wake func(tenant string, waiter types.NamespacedName)) *Ledger {
	return &Ledger{wake: wake, accounts: map[string]*account{}}
}

func (l *Ledger) account(tenant string) *account {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.accounts[tenant]
}

// Limit sets a tenant's quota; an empty one closes the account, and whoever
// waits is called. It reports whether the account is new: then Load must follow,
// and nothing fits until it has.
func (l *Ledger) Limit(tenant string, limit corev1.ResourceList) (load bool) {
	a := l.account(tenant)
	switch {
	case len(limit) == 0 && a == nil:
		return false
	case len(limit) == 0:
		l.call(tenant, l.drop(tenant))
		return false
	case a == nil:
		a = newAccount(limit)
		l.mu.Lock()
		l.accounts[tenant] = a
		l.mu.Unlock()
	default:
		l.call(tenant, a.setLimit(limit))
	}
	return !a.isLoaded()
}

// Load enters what a live list says that a tenant has. What was observed since
// Limit and is newer stays.
func (l *Ledger) Load(tenant string, holdings []Holding) {
	if a := l.account(tenant); a != nil {
		a.load(holdings)
	}
}

// Metered reports whether the tenant has an account.
func (l *Ledger) Metered(tenant string) bool { return l.account(tenant) != nil }

// Observe enters what a watch shows of an object.
func (l *Ledger) Observe(tenant string, holding Holding) {
	if a := l.account(tenant); a != nil {
		l.call(tenant, a.change(func() { a.observe(holding) }))
	}
}

// Gone strikes an object out that a watch shows to be gone.
func (l *Ledger) Gone(tenant string, key types.NamespacedName, uid types.UID) {
	if a := l.account(tenant); a != nil {
		l.call(tenant, a.change(func() { a.gone(key, uid) }))
	}
}

// Reserve sets what an object will ask for aside, or returns an *ExceededError
// and calls waiter when there may be room, in the order of the first calls. An
// object that asks for no more than it has is never refused. A reservation lasts
// until Settle, Release or Leave, or until Observe shows the object it is for; a
// second one for the same object takes its place.
func (l *Ledger) Reserve(tenant string, wanted Holding, waiter types.NamespacedName) (err error) {
	for a := l.account(tenant); a != nil; a = l.account(tenant) {
		l.call(tenant, a.change(func() { err = a.reserve(wanted, waiter) }))
		if !errors.Is(err, errClosed) {
			return err
		}
	}
	return nil
}

// Skip has an object not wait any more: something else holds it up, and it asks
// again when that is over.
func (l *Ledger) Skip(tenant string, key types.NamespacedName) {
	if a := l.account(tenant); a != nil {
		l.call(tenant, a.change(func() { a.skip(key) }))
	}
}

// Settle ends a reservation with what the super cluster answered.
func (l *Ledger) Settle(tenant string, holding Holding) {
	if a := l.account(tenant); a != nil {
		l.call(tenant, a.change(func() { a.settle(holding) }))
	}
}

// Doubt says that nobody knows what became of a reservation: the answer was lost.
// It lasts until Observe shows its object, or until Settle or Leave.
func (l *Ledger) Doubt(tenant string, key types.NamespacedName) {
	if a := l.account(tenant); a != nil {
		l.call(tenant, a.change(func() { a.doubt(key) }))
	}
}

// Holds reports whether anything counts under a name, and whether that is a
// reservation in doubt.
func (l *Ledger) Holds(tenant string, key types.NamespacedName) (counts, doubt bool) {
	if a := l.account(tenant); a != nil {
		return a.holds(key)
	}
	return false, false
}

// Release ends a reservation of which nothing has become, unless it is in doubt.
func (l *Ledger) Release(tenant string, key types.NamespacedName) {
	if a := l.account(tenant); a != nil {
		l.call(tenant, a.change(func() { a.release(key) }))
	}
}

// Leave strikes out whatever there is about an object that is known to be gone,
// and nobody wants it any more.
func (l *Ledger) Leave(tenant string, key types.NamespacedName) {
	if a := l.account(tenant); a != nil {
		l.call(tenant, a.change(func() { a.leave(key) }))
	}
}

// Used returns what the tenant has and has reserved, and false without an account.
func (l *Ledger) Used(tenant string) (corev1.ResourceList, bool) {
	if a := l.account(tenant); a != nil {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.used.DeepCopy(), true
	}
	return nil, false
}

// Drop forgets a tenant.
func (l *Ledger) Drop(tenant string) { l.drop(tenant) }

func (l *Ledger) drop(tenant string) (waiting []types.NamespacedName) {
	l.mu.Lock()
	a := l.accounts[tenant]
	delete(l.accounts, tenant)
	l.mu.Unlock()
	if a == nil {
		return nil
	}
	return a.close()
}

func (l *Ledger) call(tenant string, waiters []types.NamespacedName) {
	for _, waiter := range waiters {
		l.wake(tenant, waiter)
	}
}

func newAccount(limit corev1.ResourceList) *account {
	return &account{
		limit: limit.DeepCopy(), used: corev1.ResourceList{}, entries: map[types.NamespacedName]*entry{},
		ended: map[types.UID]struct{}{}, waiters: waiters{
			order: list.New(), byKey: map[types.NamespacedName]*list.Element{}, promised: corev1.ResourceList{},
		},
	}
}

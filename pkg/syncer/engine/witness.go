// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// maxWitnessed bounds what is remembered of one name that comes and goes while
// its super object cannot be written. The oldest stays: it is the one that a
// super object may still stand for.
const maxWitnessed = 16

// witness remembers which deletions in tenants were seen to happen, by a
// deletionTimestamp or by a watch that said so. Somebody wanted these. An object
// that is merely absent after a list is another matter; see brake.
type witness struct {
	mu   sync.Mutex
	seen map[request][]types.UID
}

func newWitness() *witness { return &witness{seen: map[request][]types.UID{}} }

// saw records that the object of this name and UID was deleted, or is going.
func (w *witness) saw(r request, uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if uids := w.seen[r]; len(uids) < maxWitnessed && !slices.Contains(uids, uid) {
		w.seen[r] = append(uids, uid)
	}
}

// has reports whether the deletion was seen.
func (w *witness) has(r request, uid types.UID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.seen[r], uid)
}

// settle forgets all of a name but uid, the object that super stands for. An
// empty uid forgets everything: nothing of that name is left to delete.
func (w *witness) settle(r request, uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if uid != "" && slices.Contains(w.seen[r], uid) {
		w.seen[r] = []types.UID{uid}
		return
	}
	delete(w.seen, r)
}

// dropTenant forgets everything about a tenant.
func (w *witness) dropTenant(tenant string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for r := range w.seen {
		if r.Tenant == tenant {
			delete(w.seen, r)
		}
	}
}

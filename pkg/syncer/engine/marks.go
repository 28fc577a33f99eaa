// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// marks remembers one UID for each object. It is safe for concurrent use.
type marks struct {
	mu   sync.Mutex
	uids map[overlayKey]types.UID
}

func newMarks() *marks { return &marks{uids: map[overlayKey]types.UID{}} }

func (m *marks) set(key overlayKey, uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uids[key] = uid
}

func (m *marks) has(key overlayKey, uid types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	marked, ok := m.uids[key]
	return ok && marked == uid
}

func (m *marks) forget(key overlayKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.uids, key)
}

func (m *marks) dropTenant(tenant string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.uids {
		if key.tenant == tenant {
			delete(m.uids, key)
		}
	}
}

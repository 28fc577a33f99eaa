// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package stored

import (
	"crypto/sha256"
	"sync"
)

const (
	// generation is how many values are remembered before the older half of them
	// is forgotten.
	generation = 2048
	// maxShared is the longest encoding that is remembered, in bytes: whatever
	// tenants write, a pool takes a few megabytes.
	maxShared = 2048
)

// digest names a content: nobody can make two contents that share one name,
// which would show one tenant's object with a part of another's.
type digest [sha256.Size]byte

// pool remembers values that were seen lately, so that objects which have one in
// common can have the same one in memory. Those that are met again and again stay.
// It is safe for concurrent use.
type pool struct {
	mu         sync.Mutex
	young, old map[digest]any
	buffer     []byte // guarded by mu
}

func newPool() *pool { return &pool{young: map[digest]any{}} }

// encoder is implemented by the types that Kubernetes encodes as protobuf. Two
// values that encode alike are the same, but for nil and empty lists, which mean
// the same.
type encoder interface {
	Size() int
	MarshalToSizedBuffer(buffer []byte) (int, error)
}

// same has value be one that was seen before, if that encodes alike. It reports
// whether there was one. What two objects have must not be changed.
func same[T any](p *pool, value *T, encoding encoder) (known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	size := encoding.Size()
	if size == 0 || size > maxShared {
		return false
	}
	if len(p.buffer) < size {
		p.buffer = make([]byte, maxShared)
	}
	// It is written from the end.
	n, err := encoding.MarshalToSizedBuffer(p.buffer[:size])
	if err != nil {
		return false
	}
	key := digest(sha256.Sum256(p.buffer[size-n : size]))
	if seen, ok := p.find(key).(T); ok {
		*value = seen
		return true
	}
	p.remember(key, *value)
	return false
}

// find is called with mu held.
func (p *pool) find(key digest) any {
	if value, ok := p.young[key]; ok {
		return value
	}
	value, ok := p.old[key]
	if ok {
		p.remember(key, value)
	}
	return value
}

func (p *pool) remember(key digest, value any) {
	if len(p.young) >= generation {
		p.young, p.old = map[digest]any{}, p.young
	}
	p.young[key] = value
}

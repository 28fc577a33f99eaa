// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// load is requests of several sorts that go on until it is stopped.
type load struct {
	stop  context.CancelFunc
	group sync.WaitGroup

	mu     sync.Mutex
	counts map[string]*count
}

// count is what came of one sort of request.
type count struct {
	requests, failed int
	first            error
	at               time.Duration
}

func newLoad() *load { return &load{counts: map[string]*count{}} }

// add makes requests of one sort, one after the other, every period.
func (l *load) add(ctx context.Context, sort string, period time.Duration, request func(context.Context) error) {
	counted := &count{}
	l.counts[sort] = counted
	started := time.Now()
	l.group.Go(func() {
		ticker := time.NewTicker(period)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			// A request that has begun may end: the load's end is no failure.
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			err := request(limited)
			cancel()
			l.mu.Lock()
			counted.requests++
			if err != nil {
				counted.failed++
				if counted.first == nil {
					counted.first, counted.at = err, time.Since(started)
				}
			}
			l.mu.Unlock()
		}
	})
}

// finish stops the load and prints what came of it.
func (l *load) finish(t *testing.T, atLeast int) {
	t.Helper()
	l.stop()
	l.group.Wait()
	for _, sort := range slices.Sorted(maps.Keys(l.counts)) {
		counted := l.counts[sort]
		t.Logf("%-34s %5d requests, %d failed", sort, counted.requests, counted.failed)
		if counted.failed > 0 {
			t.Errorf("%s: %d of %d failed, the first after %s: %v", sort, counted.failed, counted.requests, counted.at, counted.first)
		}
		if counted.requests < atLeast {
			t.Errorf("%s: only %d requests were made", sort, counted.requests)
		}
	}
}

// serials are the certificates that were seen, by serial number.
type serials struct {
	mu   sync.Mutex
	seen map[string]map[string]bool
}

func newSerials() *serials { return &serials{seen: map[string]map[string]bool{}} }

func (s *serials) add(who, serial string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[who] == nil {
		s.seen[who] = map[string]bool{}
	}
	s.seen[who][serial] = true
}

func (s *serials) count(who string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen[who])
}

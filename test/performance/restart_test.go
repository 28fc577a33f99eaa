// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// restart has the syncer begin anew with few and with 5,000 synced pods. It
// notes how soon a new pod runs, how much is written, and what each pod takes of
// its memory.
func restart(b *testing.B, w *world, name string) int {
	const few, many = 999, 5000
	all := w.inTenants(b, w.tenants, nil)
	ctx, cancel := context.WithTimeout(b.Context(), 3*settle)
	defer cancel()
	made := 0
	fill := func(total int) {
		from, more := made/len(all), (total-made)/len(all)
		all.load(b, func(ctx context.Context, s *side) error {
			return each(more, func(i int) error { return s.create(ctx, fmt.Sprintf("pod-%d", from+i)) })
		})
		made += more * len(all)
	}
	fill(few)
	fewMade := made
	small := w.restartOnce(ctx, b, all[0], "after-few", nil)
	fill(many)
	large := w.restartOnce(ctx, b, all[0], "after-many", func(served time.Duration, writes float64) {
		results.Note(name, fmt.Sprintf("start with %d pods until a new one runs", made), "s", served.Seconds())
		results.Note(name, "writes until it rests, those for the new pod and its own Lease among them", "", writes)
	})
	results.Note(name, fmt.Sprintf("private memory with %d pods", fewMade), "MiB", small/(1<<20))
	results.Note(name, fmt.Sprintf("private memory with %d pods", made), "MiB", large/(1<<20))
	results.Note(name, "memory a further pod", "KiB", (large-small)/float64(made-fewMade)/1024)
	all.clear(b)
	return 0
}

// restartOnce stops the syncer, starts it, waits until it rests and then for a
// new pod. It returns the memory at rest.
func (w *world) restartOnce(ctx context.Context, b *testing.B, s *side, pod string, tell func(served time.Duration, writes float64)) float64 {
	b.Helper()
	w.syncer.stop(b)
	must(b, s.create(ctx, pod))
	began := time.Now()
	w.syncer.start()
	_, err := s.wait(ctx, isRunning)
	must(b, err)
	served := time.Since(began)
	w.waitSynced(b, len(w.tenants))
	w.waitRest(b)
	writes := 0.0
	for call, n := range w.syncer.calls(b, w.super.Config.Host) {
		if !strings.HasSuffix(call, " GET") {
			writes += n
		}
	}
	if tell != nil {
		tell(served, writes)
	}
	memory, err := w.syncer.memory()
	must(b, err)
	return memory
}

// waitRest waits until the syncer has nothing to do.
func (w *world) waitRest(b *testing.B) {
	b.Helper()
	const rest = 3 * time.Second
	last, changed := -1.0, time.Now()
	until(b, "the syncer rests", func(ctx context.Context) error {
		n, err := w.syncer.metric(ctx, "virtualcluster_syncer_reconciles_total")
		if err != nil {
			return err
		}
		if n != last {
			last, changed = n, time.Now()
		}
		if time.Since(changed) < rest {
			return fmt.Errorf("%v reconciles so far", n)
		}
		return nil
	})
}

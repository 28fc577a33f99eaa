// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// addFakes adds fake idle tenants, which the in-process API server serves, until
// there are so many tenants of both sorts, and waits until all are synced.
func (w *world) addFakes(b *testing.B, total int) {
	b.Helper()
	first := w.tenantCount()
	must(b, each(max(0, total-first), func(i int) error {
		name := fmt.Sprintf("fake-%d", first+i)
		slice := serviceSlice(first + i)
		kubeconfig, err := w.fakes.add(name, strings.TrimSuffix(slice, "0/22")+"1")
		if err == nil {
			_, err = w.publish(b.Context(), name, kubeconfig, slice)
		}
		return err
	}))
	w.fakeTenants += max(0, total-first)
	w.waitSynced(b)
}

// tenantCount is the number of tenants, real and fake ones.
func (w *world) tenantCount() int { return len(w.tenants) + w.fakeTenants }

// many adds fake idle tenants until there are so many, and measures what each
// takes of the syncer's memory, what all of them cost while nothing happens, and
// how fast the real ones are served beside them.
func many(total int) func(*testing.B, *world, string) int {
	return func(b *testing.B, w *world, name string) int {
		base := w.baseline(b)
		began := time.Now()
		w.addFakes(b, total)
		results.Note(name, "until all are synced", "s", time.Since(began).Seconds())
		w.waitRest(b)
		results.Note(name, "until the syncer rests", "s", time.Since(began).Seconds())
		memory := w.syncer.memoryAtRest(b)
		w.begin() // the profile shows them idle
		w.idles(b, name)
		results.Note(name, "syncer's private memory at rest", "MiB", memory/(1<<20))
		results.Note(name, "memory a tenant", "MiB", (memory-base.memory)/float64(w.tenantCount()-base.tenants)/(1<<20))
		beside := w.inTenants(b, w.tenants, nil).steady(b, calmRate, calmPods)
		results.Note(name, "create to Running p50 of the real ones", "ms", milliseconds(beside.running.quantile(0.5)))
		results.Note(name, "create to Running p99 of the real ones", "ms", milliseconds(beside.running.quantile(0.99)))
		return 0
	}
}

// baseline is what a syncer took that had just begun with few tenants.
type baseline struct {
	memory  float64 // bytes
	tenants int
}

// baseline restarts the syncer, the first time, so that its memory holds nothing
// of earlier loads.
func (w *world) baseline(b *testing.B) baseline {
	b.Helper()
	if w.base == nil {
		w.syncer.stop(b)
		w.syncer.start()
		w.waitSynced(b)
		w.waitRest(b)
		memory := w.syncer.memoryAtRest(b)
		w.base = &baseline{memory, w.tenantCount()}
	}
	return *w.base
}

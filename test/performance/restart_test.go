// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

// restart has the syncer begin anew with few and with 5,000 synced pods. It
// notes what it writes although nothing has changed, what each pod takes of its
// memory, how soon a new pod runs, and how fast all pods end that are deleted at once.
func restart(b *testing.B, w *world, name string) int {
	const few, many = 999, 5000
	all := w.inTenants(b, w.tenants, nil)
	made := 0
	fill := func(total int) {
		from, more := made/len(all), (total-made)/len(all)
		all.load(b, func(ctx context.Context, s *side) error {
			return each(more, func(i int) error { return s.create(ctx, fmt.Sprintf("pod-%d", from+i)) })
		})
		made += more * len(all)
		w.waitRest(b) // all that there is to tell is told
	}
	fill(few)
	small, fewMade := w.restartIdle(b), made
	results.Note(name, fmt.Sprintf("private memory with %d pods", fewMade), "MiB", small.memory/(1<<20))
	fill(many)
	large := w.restartIdle(b)
	results.Note(name, fmt.Sprintf("private memory with %d pods", made), "MiB", large.memory/(1<<20))
	results.Note(name, "memory a further pod", "KiB", (large.memory-small.memory)/float64(made-fewMade)/1024)
	for _, cluster := range slices.Sorted(maps.Keys(large.writes)) {
		results.Note(name, "writes to "+cluster+" although nothing has changed", "", large.writes[cluster])
	}
	results.Note(name, fmt.Sprintf("start with %d pods until a new one runs", made), "s", w.restartServing(b, all[0]).Seconds())
	gone := all.clear(b)
	results.Note("deletion", fmt.Sprintf("of %d pods at once", len(gone)), "pods/s", gone.rate())
	results.Note("deletion", fmt.Sprintf("of %d pods at once, until the last is gone", len(gone)), "s", gone.length().Seconds())
	return 0
}

// atRest is what a syncer has needed that began anew, until it rested.
type atRest struct {
	memory float64            // bytes
	writes map[string]float64 // by cluster, without those that keep its Lease
}

// restartIdle stops the syncer, starts it, and waits until it rests. Nothing else happens.
func (w *world) restartIdle(b *testing.B) atRest {
	b.Helper()
	w.syncer.stop(b)
	renewals := w.countRenewals(b)
	w.syncer.start()
	w.waitSynced(b)
	w.waitRest(b)
	rest := atRest{writes: map[string]float64{"super": 0, "tenants": 0}}
	until(b, "the Lease was not renewed meanwhile", func(context.Context) error {
		before := renewals()
		clear(rest.writes)
		for call, n := range w.syncer.calls(b, w.super.Config.Host) {
			if cluster, method, _ := strings.Cut(call, " "); method != http.MethodGet {
				rest.writes[cluster] += n
			}
		}
		rest.writes["super"] -= before
		rest.writes["tenants"] += 0 // noted even if there is none
		if after := renewals(); after != before {
			return fmt.Errorf("%v renewals, then %v", before, after)
		}
		return nil
	})
	must(b, w.syncer.samples(b.Context(), func(series string, value float64) {
		if what, ok := strings.CutPrefix(series, "virtualcluster_syncer_writes_total"); ok && value > 0 {
			b.Logf("%v writes although nothing has changed: %s", value, what)
		}
	}))
	rest.memory = w.syncer.memoryAtRest(b)
	return rest
}

// countRenewals returns what says how often the syncer's Lease was written from now on.
func (w *world) countRenewals(b *testing.B) (count func() float64) {
	b.Helper()
	leases := clientset(b, w.super.Config).CoordinationV1().Leases(configv1alpha1.DefaultPlatformNamespace)
	list, err := leases.List(b.Context(), metav1.ListOptions{})
	must(b, err)
	watcher, err := leases.Watch(b.Context(), metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	must(b, err)
	b.Cleanup(watcher.Stop)
	var n atomic.Int64
	go func() {
		for range watcher.ResultChan() {
			n.Add(1)
		}
	}()
	return func() float64 { return float64(n.Load()) }
}

// restartServing stops the syncer, has a tenant make a pod, starts the syncer and
// returns how long it takes until the pod runs.
func (w *world) restartServing(b *testing.B, s *side) time.Duration {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), settle)
	defer cancel()
	w.syncer.stop(b)
	must(b, s.create(ctx, "after"))
	began := time.Now()
	w.syncer.start()
	_, err := s.wait(ctx, isRunning)
	must(b, err)
	served := time.Since(began)
	w.waitSynced(b)
	w.waitRest(b)
	return served
}

// waitRest waits until the syncer has nothing to do.
func (w *world) waitRest(b *testing.B) {
	b.Helper()
	const rest = 3 * time.Second
	last, changed := -1.0, time.Now()
	untilEvery(b, scrapeInterval, "the syncer rests", func(ctx context.Context) error {
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

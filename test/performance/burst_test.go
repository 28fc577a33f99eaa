// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
)

// burst makes 999 pods as fast as they are accepted, first in the super cluster
// and then in three tenants, and deletes them all at once.
func burst(b *testing.B, w *world, name string) int {
	const pods = 333
	direct := w.inSuper(b, len(w.tenants), nil).burst(b, pods)
	through := w.inTenants(b, w.tenants, nil).burst(b, pods)
	bursts(name, direct, through)
	return pods * len(w.tenants)
}

// oneTenant makes 500 pods in one tenant.
func oneTenant(b *testing.B, w *world, name string) int {
	const pods = 500
	direct := w.inSuper(b, 1, nil).burst(b, pods)
	through := w.inTenants(b, w.tenants[:1], nil).burst(b, pods)
	bursts(name, direct, through)
	results.Compare(name, "all running", "s", direct.running.length().Seconds(), through.running.length().Seconds())
	return pods
}

// tokens is burst with a service account token in each pod.
func tokens(b *testing.B, w *world, name string) int {
	const pods = 333
	withToken := func(pod *corev1.Pod) { pod.Spec.AutomountServiceAccountToken = nil }
	direct := w.inSuper(b, len(w.tenants), withToken).burst(b, pods)
	through := w.inTenants(b, w.tenants, withToken).burst(b, pods)
	bursts(name, direct, through)
	return pods * len(w.tenants)
}

// lives is what a load has shown: until its pods ran, and until they were gone.
type lives struct{ running, gone spans }

// bursts notes what two loads have shown, of which one is the comparison.
func bursts(scenario string, direct, through lives) {
	results.Compare(scenario, "throughput", "pods/s", direct.running.rate(), through.running.rate())
	latencies(scenario, "create to Running", direct.running, through.running)
	length := through.running.length()
	results.Note(scenario, "create to Running p50, of the run's length", "", float64(through.running.quantile(0.5))/float64(length))
	results.Note(scenario, "create to Running p99, of the run's length", "", float64(through.running.quantile(0.99))/float64(length))
	latencies(scenario, "delete to gone", direct.gone, through.gone)
	results.Compare(scenario, "deletions", "pods/s", direct.gone.rate(), through.gone.rate())
}

// latencies notes the quantiles of what a pod waits.
func latencies(scenario, what string, direct, through spans) {
	for _, q := range []struct {
		name string
		q    float64
	}{{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"max", 1}} {
		results.Compare(scenario, what+" "+q.name, "ms", milliseconds(direct.quantile(q.q)), milliseconds(through.quantile(q.q)))
	}
}

// sides are loaded together.
type sides []*side

// inSuper returns n namespaces of the super cluster.
func (w *world) inSuper(b *testing.B, n int, change func(*corev1.Pod)) sides {
	b.Helper()
	client := clientset(b, w.super.Config)
	var all sides
	for i := range n {
		s := newSide(b, client, fmt.Sprintf("direct-%d", i))
		s.change = change
		all = append(all, s)
	}
	return all
}

// inTenants returns a namespace in each of the tenants, which the syncer knows already.
func (w *world) inTenants(b *testing.B, tenants []*tenant, change func(*corev1.Pod)) sides {
	b.Helper()
	var all sides
	for _, tn := range tenants {
		s := newSide(b, tn.client, "load")
		s.change = change
		all = append(all, s)
		w.warm(b, s)
	}
	w.begin()
	return all
}

// warm runs one pod in a new namespace, so that what is made once for a
// namespace is there, and forgets it.
func (w *world) warm(b *testing.B, s *side) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), settle)
	defer cancel()
	must(b, s.create(ctx, "warm"))
	_, err := s.wait(ctx, isRunning)
	must(b, err)
	must(b, s.deleteAll(ctx))
	_, err = s.wait(ctx, isGone)
	must(b, err)
	s.note(func() { clear(s.pods) })
}

// burst makes the pods, waits until they run, ends them, and removes the namespaces.
func (all sides) burst(b *testing.B, pods int) lives {
	b.Helper()
	var l lives
	l.running = all.load(b, func(ctx context.Context, s *side) error { return s.createAll(ctx, pods) })
	l.gone = all.clear(b)
	return l
}

// load runs do for all sides at once and waits until all pods run.
func (all sides) load(b *testing.B, do func(context.Context, *side) error) spans {
	b.Helper()
	return joined(all.together(b, isRunning, do))
}

// clear ends all pods and removes the namespaces.
func (all sides) clear(b *testing.B) spans {
	b.Helper()
	gone := joined(all.together(b, isGone, func(ctx context.Context, s *side) error { return s.deleteAll(ctx) }))
	for _, s := range all {
		s.end(b)
	}
	return gone
}

// together runs do for all sides at once and returns, for each, what it took all
// its pods to reach something.
func (all sides) together(b *testing.B, reached func(*life) (from, to time.Time), do func(context.Context, *side) error) []spans {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), settle)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	each := make([]spans, len(all))
	for i, s := range all {
		group.Go(func() error {
			err := do(ctx, s)
			if err == nil {
				each[i], err = s.wait(ctx, reached)
			}
			return err
		})
	}
	must(b, group.Wait())
	return each
}

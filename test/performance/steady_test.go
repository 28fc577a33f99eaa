// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/wait"
)

// steadyAt makes so many pods a second, for so long that a quantile means something.
func steadyAt(perSecond int) func(*testing.B, *world, string) int {
	return func(b *testing.B, w *world, name string) int {
		pods := max(400, 5*perSecond)
		direct := w.inSuper(b, len(w.tenants), nil).steady(b, perSecond, pods)
		through := w.inTenants(b, w.tenants, nil).steady(b, perSecond, pods)
		results.Compare(name, "throughput", "pods/s", direct.running.rate(), through.running.rate())
		latencies(name, "create to Running", direct.running, through.running)
		latencies(name, "delete to gone", direct.gone, through.gone)
		return pods
	}
}

// steady makes pods at a rate, of all sides together, and then ends them.
func (all sides) steady(b *testing.B, perSecond, pods int) lives {
	b.Helper()
	var l lives
	limiter := rate.NewLimiter(rate.Limit(perSecond), 1)
	l.running = all.load(b, func(ctx context.Context, s *side) error { return s.createAt(ctx, limiter, pods/len(all)) })
	l.gone = all.clear(b)
	return l
}

// createAt makes n pods when the limiter says so, however long each takes.
func (s *side) createAt(ctx context.Context, limiter *rate.Limiter, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	for i := range n {
		if err := limiter.Wait(ctx); err != nil {
			return err
		}
		group.Go(func() error { return s.create(ctx, fmt.Sprintf("pod-%d", i)) })
	}
	return group.Wait()
}

// after waits until so many pods of a side were asked for.
func (s *side) after(ctx context.Context, asked int) error {
	return wait.PollUntilContextCancel(ctx, lookInterval, true, func(context.Context) (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.pods) >= asked, nil
	})
}

// greedy has one tenant make 1,000 pods, and two others 20 each in the middle of that.
func greedy(b *testing.B, w *world, name string) int {
	const many, few = 1000, 20
	share := func(all sides) (modest spans) {
		each := all.together(b, isRunning, func(ctx context.Context, s *side) error {
			if s == all[0] {
				return s.createAll(ctx, many)
			}
			if err := all[0].after(ctx, many/4); err != nil {
				return err
			}
			return s.createAll(ctx, few)
		})
		all.clear(b)
		return joined(each[1:])
	}
	direct := share(w.inSuper(b, len(w.tenants), nil))
	through := share(w.inTenants(b, w.tenants, nil))
	latencies(name, "create to Running of the two others", direct, through)
	return many + few*(len(w.tenants)-1)
}

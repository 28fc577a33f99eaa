// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
	"virtualcluster.io/virtualcluster/pkg/syncer/rule"
)

// troubleMemory is how long trouble with a watch counts after it was last seen.
// A watch that fails is tried again at least every minute.
const troubleMemory = 90 * time.Second

// run is a rule in force: an engine for its kind. It is started and stopped by
// the runner's loop alone.
type run struct {
	rule       *rule.Rule
	definition definition
	engine     *engine.Engine
	cancel     context.CancelFunc
	running    sync.WaitGroup
	clock      clock.PassiveClock

	mu      sync.Mutex
	trouble error
	seen    time.Time
	ended   bool
}

// start puts a rule in force.
func (r *Runner) start(ctx context.Context, compiled *rule.Rule, found definition) (*run, error) {
	started := &run{rule: compiled, definition: found, clock: r.options.Clock}
	selector := labels.Everything()
	if compiled.Direction == tenancyv1alpha1.DirectionDown {
		selector = identity.Selector()
	}
	super, err := newView(r.options.Super, viewOptions{
		kind: compiled.Kind, definition: found, selector: selector,
		failed: func(err error) { started.fail(err); r.wake() },
	})
	if err != nil {
		return nil, err
	}
	if started.engine, err = r.options.NewEngine(super, compiled.Translator(r.options.Super.GetAPIReader())); err != nil {
		return nil, fmt.Errorf("making the engine: %w", err)
	}
	ctx, started.cancel = context.WithCancel(ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithValues("rule", compiled.Kind.String())))
	part := func(what string, do func(context.Context) error) {
		started.running.Go(func() {
			if err := do(ctx); err != nil && ctx.Err() == nil {
				started.end(fmt.Errorf("%s: %w", what, err))
				r.wake()
			}
		})
	}
	part("watching the super cluster", super.run)
	part("syncing", started.engine.Start)
	part("", func(ctx context.Context) error {
		select {
		case <-started.engine.Running():
			started.fail(nil)
			r.wake()
		case <-ctx.Done():
		}
		return nil
	})
	return started, nil
}

// stop ends the run and waits for it. Its tenants must have been released.
func (s *run) stop() {
	s.cancel()
	s.running.Wait()
}

// fail remembers trouble that may pass, or that it has passed.
func (s *run) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble, s.seen = err, s.clock.Now()
}

// end remembers trouble that does not pass by itself.
func (s *run) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble, s.ended = err, true
}

// state returns the trouble that there is, and whether the run must be made anew.
func (s *run) state() (trouble string, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.trouble == nil || !s.ended && s.clock.Since(s.seen) > troubleMemory:
		return "", s.ended
	case apierrors.IsForbidden(s.trouble):
		return fmt.Sprintf("the syncer may not list and watch %s.%s in the super cluster: add them to the chart's value syncer.customResources",
			s.definition.resource, s.rule.Kind.Group), s.ended
	default:
		return s.trouble.Error(), s.ended
	}
}

// unfit says why a definition does not serve a rule, or nothing. where is whose it is.
func unfit(compiled *rule.Rule, found definition, exists bool, where string) string {
	served := strings.Split(strings.TrimSuffix(found.versions, ","), ",")
	title := compiled.Kind.Kind + "." + compiled.Kind.Group
	switch {
	case !exists:
		return fmt.Sprintf("%s has no CustomResourceDefinition of %s", where, title)
	case found.namespaced != (compiled.Direction == tenancyv1alpha1.DirectionDown):
		return fmt.Sprintf("%s has the wrong scope in %s: only namespaced kinds go down, and cluster-scoped ones up", title, where)
	case !slices.Contains(served, compiled.Kind.Version):
		return fmt.Sprintf("%s does not serve version %s of %s", where, compiled.Kind.Version, title)
	case !found.established:
		return fmt.Sprintf("%s is not established in %s", title, where)
	default:
		return ""
	}
}

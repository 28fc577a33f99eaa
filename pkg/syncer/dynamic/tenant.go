// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
	"virtualcluster.io/virtualcluster/pkg/syncer/rule"
)

// tenant is a connected tenant. All but engaged is of the loop alone.
type tenant struct {
	*fleet.Tenant
	ctx context.Context //nolint:containedctx // it is the connection's, not a call's.

	// definitions are nil until the class has a rule.
	definitions *definitions
	// ruled says that the class had rules, of whatever worth, when it was read.
	// What is reported is about that reading: rules that have gone since then are
	// still in force.
	ruled bool
	rules []*rule.Rule
	// troubles are the platform's to mend, waits the tenant's.
	troubles, waits []string
	// engaged is guarded by Runner.mu; only the loop changes it.
	engaged map[string]*engagement
}

// engagement is a tenant's part in a run.
type engagement struct {
	run        *run
	definition definition
	cancel     context.CancelFunc
	// gone is when the tenant's definition was first missed; of the loop alone.
	gone time.Time
}

// How long a tenant takes part after its definition is gone: at least until the
// last deletions have arrived, and no longer than there is something to do.
const (
	lingerMin = 5 * time.Second
	lingerMax = 10 * time.Minute
)

// engines returns those that the tenant takes part in, in a lasting order.
// Runner.mu is held.
func (t *tenant) engines() []*engine.Engine {
	engines := make([]*engine.Engine, 0, len(t.engaged))
	for _, key := range slices.Sorted(maps.Keys(t.engaged)) {
		engines = append(engines, t.engaged[key].run.engine)
	}
	return engines
}

// compile reads the rules of the tenant's class.
func (r *Runner) compile(t *tenant) {
	facts, _ := t.Facts()
	t.ruled = len(facts.Syncing.CustomResources) > 0
	t.rules, t.troubles, t.waits = nil, nil, nil
	byKind := map[string]string{}
	for _, source := range facts.Syncing.CustomResources {
		compiled, err := r.compileOnce(source)
		if err != nil {
			t.troubles = append(t.troubles, fmt.Sprintf("rule %s: %v", source.Name, err))
			continue
		}
		title := compiled.Kind.GroupKind().String()
		if other, twice := byKind[title]; twice {
			t.troubles = append(t.troubles, fmt.Sprintf("rule %s: %s is in rule %s already", source.Name, title, other))
			continue
		}
		byKind[title] = source.Name
		t.rules = append(t.rules, compiled)
	}
}

// compileOnce compiles a rule unless that was done before.
func (r *Runner) compileOnce(source tenancyv1alpha1.CustomResourceRule) (*rule.Rule, error) {
	key, err := json.Marshal(source)
	if err != nil {
		return nil, fmt.Errorf("encoding the rule: %w", err)
	}
	done, ok := r.compiled[string(key)]
	if !ok {
		const remembered = 1024
		if len(r.compiled) >= remembered {
			clear(r.compiled)
		}
		done.rule, done.err = rule.Compile(source)
		r.compiled[string(key)] = done
	}
	return done.rule, done.err
}

// engage lets a tenant take part in the runs of its rules, as far as it serves
// their kinds, and in no others.
func (r *Runner) engage(ctx context.Context, t *tenant, unavailable map[string]string) {
	wanted := map[string]bool{}
	for _, compiled := range t.rules {
		wanted[compiled.Key] = true
	}
	for key := range t.engaged {
		if !wanted[key] {
			r.release(t, key)
		}
	}
	if len(t.rules) > 0 && t.definitions == nil {
		if err := t.follow(r.wake); err != nil {
			ctrl.LoggerFrom(ctx).Error(err, "Cannot watch the tenant's definitions, trying again", "virtualCluster", t.VirtualCluster)
		}
	}
	for _, compiled := range t.rules {
		if reason := unavailable[compiled.Key]; reason != "" {
			t.troubles = append(t.troubles, fmt.Sprintf("rule %s: %s", compiled.Name, reason))
		}
		running := r.runs[compiled.Key]
		if running == nil {
			continue
		}
		if err := r.engageIn(t, running); err != nil {
			t.troubles = append(t.troubles, fmt.Sprintf("rule %s: %v", compiled.Name, err))
		}
	}
}

// follow watches the tenant's definitions while it is connected.
func (t *tenant) follow(changed func()) error {
	followed, err := watchDefinitions(t.ctx, t.Cluster, changed)
	if err != nil {
		return err
	}
	t.definitions = followed
	return nil
}

// engageIn brings a tenant's part in one run in line with its own definition.
func (r *Runner) engageIn(t *tenant, running *run) error {
	if t.definitions == nil {
		return nil
	}
	if synced, failed := t.definitions.state(); !synced {
		if failed != nil {
			t.waits = append(t.waits, "this cluster's CustomResourceDefinitions cannot be read: "+failed.Error())
		}
		return nil
	}
	found, exists := t.definitions.find(running.rule.Kind.GroupKind())
	reason := unfit(running.rule, found, exists, "this cluster")
	present := t.engaged[running.rule.Key]
	terminating := found.terminating
	found.terminating = false
	if present != nil && found != present.definition && (exists || r.over(t, present)) {
		r.release(t, running.rule.Key)
		present = nil
	}
	switch {
	case reason != "":
		t.waits = append(t.waits, reason)
		return nil
	case present != nil, terminating:
		// A definition that goes takes its objects with it, one by one: who has
		// begun with it sees that to the end.
		return nil
	default:
		return r.join(t, running, found)
	}
}

// over reports whether a tenant whose definition is gone has nothing left to do:
// the objects that went with it are deleted in the super cluster one by one.
func (r *Runner) over(t *tenant, present *engagement) bool {
	now := r.options.Clock.Now()
	if present.gone.IsZero() {
		present.gone = now
	}
	gone := now.Sub(present.gone)
	return gone > lingerMax || gone > lingerMin && !present.run.engine.Busy(t.ID)
}

// join lets a tenant take part in a run.
func (r *Runner) join(t *tenant, running *run, found definition) error {
	log := ctrl.LoggerFrom(t.ctx).WithValues("rule", running.rule.Kind.String())
	served, err := newView(t.Cluster, viewOptions{
		kind: running.rule.Kind, definition: found, selector: labels.Everything(),
		failed: func(err error) { log.V(1).Info("Cannot watch the tenant's custom resources", "error", err.Error()) },
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctrl.LoggerInto(t.ctx, log))
	go func() {
		if err := served.run(ctx); err != nil && ctx.Err() == nil {
			log.Error(err, "The cache of the tenant's custom resources has ended")
		}
	}()
	if err := running.engine.Engage(ctx, t.ID, t.On(served)); err != nil {
		cancel()
		return fmt.Errorf("engaging: %w", err)
	}
	r.mu.Lock()
	t.engaged[running.rule.Key] = &engagement{run: running, definition: found, cancel: cancel}
	r.mu.Unlock()
	return nil
}

// release ends a tenant's part in a run. Nothing is concluded from its absence.
func (r *Runner) release(t *tenant, key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if present := t.engaged[key]; present != nil {
		present.cancel()
		delete(t.engaged, key)
	}
}

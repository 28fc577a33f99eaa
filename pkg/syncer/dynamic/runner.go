// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/rule"
)

// lookInterval is the time between two looks at everything without a reason:
// what has failed is tried again then.
const lookInterval = 30 * time.Second

// restInterval is the least time between two looks.
const restInterval = 100 * time.Millisecond

// Options configure a Runner.
type Options struct {
	// Super is the super cluster. Required.
	Super cluster.Cluster
	// NewEngine makes the engine of one kind, which must be Secondary. Required.
	NewEngine func(super cluster.Cluster, translator *kind.Translator) (*engine.Engine, error)
	// Clock is the real clock by default.
	Clock clock.WithTicker
}

// Runner puts the rules of the tenants' classes in force. It is a runnable of a
// multicluster manager and safe for concurrent use.
type Runner struct {
	options Options
	wakeUp  chan struct{}

	mu      sync.Mutex
	tenants map[string]*tenant

	// Of the loop alone.
	super    *definitions
	runs     map[string]*run
	compiled map[string]compilation
}

// compilation is what became of a rule.
type compilation struct {
	rule *rule.Rule
	err  error
}

var _ multicluster.Aware = &Runner{}

// New returns a runner that does nothing until Start.
func New(options Options) *Runner {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	return &Runner{
		options: options, wakeUp: make(chan struct{}, 1),
		tenants: map[string]*tenant{}, runs: map[string]*run{}, compiled: map[string]compilation{},
	}
}

// NeedLeaderElection keeps a standby syncer from writing.
func (r *Runner) NeedLeaderElection() bool { return true }

// errNotATenant is returned for a cluster that package fleet did not make.
var errNotATenant = errors.New("the cluster is not a *fleet.Tenant")

// Engage implements multicluster.Aware. It returns at once.
func (r *Runner) Engage(ctx context.Context, id string, cl cluster.Cluster) error {
	connected, ok := cl.(*fleet.Tenant)
	if !ok {
		return fmt.Errorf("engaging %s: %w", id, errNotATenant)
	}
	t := &tenant{Tenant: connected, ctx: ctx, engaged: map[string]*engagement{}}
	r.mu.Lock()
	r.tenants[id] = t
	r.mu.Unlock()
	go func() {
		for {
			_, changed := connected.Facts()
			r.wake()
			select {
			case <-changed:
			case <-ctx.Done():
				r.forget(t)
				return
			}
		}
	}()
	return nil
}

// forget drops a tenant whose connection has ended; its engagements end with it.
func (r *Runner) forget(t *tenant) {
	r.mu.Lock()
	if r.tenants[t.ID] == t {
		delete(r.tenants, t.ID)
	}
	r.mu.Unlock()
	r.wake()
}

// Held returns a hold of deletions of one of the tenant's custom resources, or nil.
func (r *Runner) Held(id string) *engine.Hold {
	r.mu.Lock()
	var engines []*engine.Engine
	if t := r.tenants[id]; t != nil {
		engines = t.engines()
	}
	r.mu.Unlock()
	for _, e := range engines {
		if hold, _ := e.Held(id); hold != nil {
			return hold
		}
	}
	return nil
}

// wake asks the loop for another look.
func (r *Runner) wake() {
	select {
	case r.wakeUp <- struct{}{}:
	default:
	}
}

// Start runs the loop until ctx ends and every engine has stopped.
func (r *Runner) Start(ctx context.Context) error {
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithName("custom-resources"))
	if err := r.followNamespaces(ctx); err != nil {
		return err
	}
	ticker := r.options.Clock.NewTicker(lookInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, running := range r.runs {
				running.stop()
			}
			return nil
		case <-r.wakeUp:
		case <-ticker.C():
		}
		r.look(ctx)
		r.rest(ctx)
	}
}

// rest keeps a tenant that changes its definitions all the time from having the
// loop for itself.
func (r *Runner) rest(ctx context.Context) {
	timer := r.options.Clock.NewTimer(restInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// followNamespaces wakes what waits for a super namespace in any engine.
func (r *Runner) followNamespaces(ctx context.Context) error {
	informer, err := r.options.Super.GetCache().GetInformer(ctx, &corev1.Namespace{})
	if err != nil {
		return fmt.Errorf("watching super namespaces: %w", err)
	}
	changed := func(object any) {
		namespace, ok := object.(*corev1.Namespace)
		if !ok || namespace.DeletionTimestamp != nil {
			return
		}
		if owner, stamped := identity.Of(namespace); stamped {
			r.namespaceReady(owner)
		}
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, updated any) { changed(updated) },
	})
	if err != nil {
		return fmt.Errorf("watching super namespaces: %w", err)
	}
	return nil
}

func (r *Runner) namespaceReady(owner identity.Owner) {
	r.mu.Lock()
	var engines []*engine.Engine
	if t := r.tenants[owner.TenantID]; t != nil {
		engines = t.engines()
	}
	r.mu.Unlock()
	for _, e := range engines {
		e.WakeNamespace(owner.TenantID, owner.Name)
	}
}

// look brings the runs and the engagements in line with the classes and with
// the definitions on both sides.
func (r *Runner) look(ctx context.Context) {
	tenants := r.present()
	wanted := map[string]*rule.Rule{}
	for _, t := range tenants {
		r.compile(t)
		for _, compiled := range t.rules {
			wanted[compiled.Key] = compiled
		}
	}
	if len(wanted) > 0 {
		r.followSuper(ctx)
	}
	r.stopRuns(ctx, tenants, wanted)
	unavailable := r.startRuns(ctx, wanted)
	for _, t := range tenants {
		r.engage(ctx, t, unavailable)
		r.report(ctx, t)
	}
}

func (r *Runner) present() []*tenant {
	r.mu.Lock()
	defer r.mu.Unlock()
	present := make([]*tenant, 0, len(r.tenants))
	for _, t := range r.tenants {
		if t.ctx.Err() == nil {
			present = append(present, t)
		}
	}
	return present
}

// followSuper watches the super cluster's definitions once there is a rule.
func (r *Runner) followSuper(ctx context.Context) {
	if r.super != nil {
		return
	}
	super, err := watchDefinitions(ctx, r.options.Super, r.wake)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Cannot watch the super cluster's definitions, trying again")
		return
	}
	r.super = super
}

// stopRuns ends what no class wants, what has failed, and what the super
// cluster serves in another way than before, or not at all.
func (r *Runner) stopRuns(ctx context.Context, tenants []*tenant, wanted map[string]*rule.Rule) {
	for key, running := range r.runs {
		found, exists := r.super.find(running.rule.Kind.GroupKind())
		_, ended := running.state()
		if wanted[key] != nil && exists && !ended && found == running.definition {
			continue
		}
		for _, t := range tenants {
			r.release(t, key)
		}
		running.stop()
		delete(r.runs, key)
		ctrl.LoggerFrom(ctx).Info("Custom resource is not synced any more", "kind", running.rule.Kind.String())
	}
}

// startRuns puts in force what it can, and says what is in the way of the others.
func (r *Runner) startRuns(ctx context.Context, wanted map[string]*rule.Rule) map[string]string {
	unavailable := map[string]string{}
	for key, compiled := range wanted {
		if running := r.runs[key]; running != nil {
			if trouble, _ := running.state(); trouble != "" {
				unavailable[key] = trouble
			}
			continue
		}
		reason, found := r.available(compiled)
		if reason == "" {
			started, err := r.start(ctx, compiled, found)
			if err == nil {
				r.runs[key] = started
				ctrl.LoggerFrom(ctx).Info("Custom resource is synced", "kind", compiled.Kind.String(), "direction", compiled.Direction)
				continue
			}
			reason = err.Error()
		}
		unavailable[key] = reason
	}
	return unavailable
}

// available returns the super cluster's definition of a rule's kind, or what is amiss.
func (r *Runner) available(compiled *rule.Rule) (string, definition) {
	if r.super == nil {
		return "the super cluster's CustomResourceDefinitions are not known yet", definition{}
	}
	if synced, failed := r.super.state(); !synced {
		if failed != nil {
			return "the super cluster's CustomResourceDefinitions cannot be read: " + failed.Error(), definition{}
		}
		return "the super cluster's CustomResourceDefinitions are not known yet", definition{}
	}
	found, exists := r.super.find(compiled.Kind.GroupKind())
	if reason := unfit(compiled, found, exists, "the super cluster"); reason != "" {
		return reason, definition{}
	}
	if found.terminating {
		return fmt.Sprintf("the super cluster is removing its CustomResourceDefinition of %s", compiled.Kind.Kind), definition{}
	}
	return "", found
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// Options configure an Engine.
type Options struct {
	// Super is the super cluster. Its cache must hold only objects selected by
	// identity.Selector for the kinds that go down. Required.
	Super cluster.Cluster
	// Kinds are run in this order at start. Required.
	Kinds []*kind.Translator
	// Workers for each kind. Default 32.
	Workers int
	// BaseDelay and MaxDelay bound the back-off of one object. Default 20 ms and
	// 20 s: an object whose trouble is over is synced within half a minute. What
	// many failing objects may cost is bounded for each tenant; see fairQueue.Retry.
	BaseDelay, MaxDelay time.Duration
	// RequestTimeout bounds one reconcile, so that a tenant that accepts
	// connections and never answers frees its worker. Default 15 s.
	RequestTimeout time.Duration
	// ResyncPeriod is the time between two passes over all objects of a tenant,
	// through the same reconcile. Default 10 min.
	ResyncPeriod time.Duration
	// Brake says when deletions are held because a tenant's objects may have been lost.
	Brake BrakePolicy
	// Records returns what a VirtualCluster says about the brake. Nil means that
	// no hold outlives the process and nobody can allow deletions.
	Records func(ctx context.Context, virtualCluster types.NamespacedName) (HoldRecord, error)
	// Watcher returns a client that watches a tenant past its caches. The
	// default makes one over the tenant's connection.
	Watcher func(t *fleet.Tenant) (client.WithWatch, error)
	// Sole reports whether no other engine can be serving a tenant now. What runs
	// once is started without asking the tenant again while it does. Nil means never.
	Sole func(id string) bool
	// Tracer gets a span for each pass, with one for each request in it. Nil means none.
	Tracer trace.TracerProvider
	// Secondary engines run further kinds of tenants that another engine runs
	// too, which counts them for the metrics.
	Secondary bool
	// Registerer receives the metrics; nil keeps them to itself.
	Registerer prometheus.Registerer
	// Clock is the real clock by default.
	Clock clock.WithTickerAndDelayedExecution
	// Jitter lengthens a pause by chance. Default: by up to a fifth.
	Jitter func(time.Duration) time.Duration
}

func (o *Options) setDefaults() {
	if o.Workers == 0 {
		o.Workers = 32
	}
	if o.BaseDelay == 0 {
		o.BaseDelay = 20 * time.Millisecond
	}
	if o.MaxDelay == 0 {
		o.MaxDelay = 20 * time.Second
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = 15 * time.Second
	}
	if o.ResyncPeriod == 0 {
		o.ResyncPeriod = 10 * time.Minute
	}
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Jitter == nil {
		o.Jitter = func(d time.Duration) time.Duration { return wait.Jitter(d, 0.2) }
	}
	if o.Watcher == nil {
		o.Watcher = watcherOf
	}
	if o.Sole == nil {
		o.Sole = func(string) bool { return false }
	}
	if o.Records == nil {
		o.Records = func(context.Context, types.NamespacedName) (HoldRecord, error) { return HoldRecord{}, nil }
	}
}

// Engine syncs the engaged tenants with the super cluster. It is a runnable of
// a multicluster manager and safe for concurrent use.
type Engine struct {
	options     Options
	metrics     *metrics
	recorder    *recorder
	controllers []*controller
	running     chan struct{} // closed when the super cluster's caches are synced

	mu      sync.Mutex
	tenants map[string]*tenant
}

var _ multicluster.Aware = &Engine{}

// New returns an engine that does nothing until Start.
func New(options Options) (*Engine, error) {
	options.setDefaults()
	options.Super = watchedCluster{options.Super, atSuper}
	m, err := newMetrics(options.Registerer)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	if options.Secondary {
		m.tenants = prometheus.NewGauge(prometheus.GaugeOpts{Name: "unused"})
	}
	e := &Engine{
		options: options, metrics: m, recorder: newRecorder(options.Clock),
		running: make(chan struct{}), tenants: map[string]*tenant{},
	}
	for _, translator := range options.Kinds {
		e.controllers = append(e.controllers, newController(e, translator))
	}
	return e, nil
}

// Start runs the workers until ctx ends. It returns when all of them have
// stopped; with an error if the super cluster was set back, so that its caches
// cannot be believed any more: the process must start anew.
func (e *Engine) Start(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx).WithName("syncer"))
	if err := e.watchSuper(ctx); err != nil {
		return err
	}
	close(e.running)
	var workers sync.WaitGroup
	for _, c := range e.controllers {
		for range e.options.Workers {
			workers.Go(func() { c.work(ctx) })
		}
	}
	workers.Go(func() { e.reportDepth(ctx) })
	workers.Go(func() { e.lookAtSuper(ctx, end) })
	<-ctx.Done()
	for _, c := range e.controllers {
		c.queue.Close()
	}
	workers.Wait()
	if cause := context.Cause(ctx); errors.Is(cause, errSuperWentBack) {
		return cause
	}
	return nil
}

// NeedLeaderElection keeps a standby syncer from writing.
func (e *Engine) NeedLeaderElection() bool { return true }

// errNotATenant is returned for a cluster that package fleet did not make.
var errNotATenant = errors.New("the cluster is not a *fleet.Tenant")

// Engage implements multicluster.Aware. It returns at once; the tenant takes
// part when its caches are synced.
func (e *Engine) Engage(ctx context.Context, id string, cl cluster.Cluster) error {
	connected, ok := cl.(*fleet.Tenant)
	if !ok {
		return fmt.Errorf("engaging %s: %w", id, errNotATenant)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.tenants[id]; known != nil && known.Tenant == connected {
		return nil
	}
	if known := e.tenants[id]; known != nil {
		e.forget(known) // its end comes late; nothing that was known of it holds any more
	}
	t := newTenant(ctx, connected)
	e.equip(t)
	e.tenants[id] = t
	go e.follow(t)
	return nil
}

// equip gives a tenant what it needs besides its connection.
func (e *Engine) equip(t *tenant) {
	t.super = superReader{engine: e, tenant: t}
	t.brake = newBrake(e.options.Brake, e.options.Clock)
	// A tenant that fails is left alone for up to half a minute; the super
	// cluster, which the others need too, is asked again sooner, and left alone
	// at once when it says so.
	t.breakers[atTenant] = newBreaker(breakerOptions{
		clock: e.options.Clock, threshold: 5, base: time.Second, limit: 30 * time.Second, jitter: e.options.Jitter,
	})
	t.breakers[atSuper] = newBreaker(breakerOptions{
		clock: e.options.Clock, threshold: 3, base: 500 * time.Millisecond, limit: 5 * time.Second, jitter: e.options.Jitter,
	})
	e.weigh(t)
}

// weigh tells the queues what share the tenant has.
func (e *Engine) weigh(t *tenant) {
	facts, _ := t.Facts()
	for _, c := range e.controllers {
		c.queue.SetWeight(t.ID, int(facts.Syncing.Weight))
	}
}

// Synced reports whether the tenant is engaged and its caches are synced.
func (e *Engine) Synced(id string) bool { return e.tenant(id) != nil }

// Held returns why deletions of a tenant are held, or nil if they are not.
// synced is as Synced: of another tenant nothing is known.
func (e *Engine) Held(id string) (hold *Hold, synced bool) {
	t := e.tenant(id)
	if t == nil {
		return nil, false
	}
	return t.brake.held(), true
}

// tenant returns an engaged tenant whose caches are synced, or nil.
func (e *Engine) tenant(id string) *tenant {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := e.tenants[id]; t != nil && t.synced.Load() {
		return t
	}
	return nil
}

// disengage forgets a tenant. Nothing is concluded from its absence.
func (e *Engine) disengage(t *tenant) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tenants[t.ID] == t {
		e.forget(t)
	}
}

// forget drops what is known of a tenant. The caller holds the lock.
func (e *Engine) forget(t *tenant) {
	delete(e.tenants, t.ID)
	if t.synced.Load() {
		e.metrics.tenants.Dec()
	}
	for _, c := range e.controllers {
		c.queue.Drop(t.ID)
		c.tenantWrites.dropTenant(t.ID)
		c.superWrites.dropTenant(t.ID)
		c.attachmentWrites.dropTenant(t.ID)
		c.superDeletions.dropTenant(t.ID)
		c.bindings.dropTenant(t.ID)
		c.witness.dropTenant(t.ID)
		c.changes.dropTenant(t.ID)
		c.troubles.dropTenant(t.ID)
		c.tenantDeletions.dropTenant(t.ID)
		c.ended.dropTenant(t.ID)
		if c.ledger != nil {
			c.ledger.Drop(t.ID)
		}
	}
}

// countTenants samples the tenants' states for the metrics.
func (e *Engine) countTenants() {
	e.mu.Lock()
	defer e.mu.Unlock()
	braked := 0
	breakers := map[[2]string]int{}
	for _, t := range e.tenants {
		if t.brake.held() != nil {
			braked++
		}
		for i, b := range t.breakers {
			breakers[[2]string{party(i).String(), b.State()}]++
		}
	}
	e.metrics.braked.Set(float64(braked))
	for _, state := range []string{"open", "half-open"} {
		for i := range parties {
			e.metrics.breakers.WithLabelValues(i.String(), state).Set(float64(breakers[[2]string{i.String(), state}]))
		}
	}
}

// reportDepth samples the queues for the metrics.
func (e *Engine) reportDepth(ctx context.Context) {
	const interval = 5 * time.Second
	// Counting objects looks through the caches: less often.
	const objectsEvery = 6
	timer := e.options.Clock.NewTimer(interval)
	defer timer.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-timer.C():
		}
		e.countTenants()
		for _, c := range e.controllers {
			e.metrics.queueDepth.WithLabelValues(c.kind.Name, string(c.kind.Direction)).Set(float64(c.queue.Len()))
			if n%objectsEvery == 0 {
				e.countObjects(ctx, c)
			}
		}
		timer.Reset(interval)
	}
}

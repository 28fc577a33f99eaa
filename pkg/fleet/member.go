// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

// errProbe is why a connection was given up.
var errProbe = errors.New("the tenant's API server stopped answering")

// member is a VirtualCluster that should be connected, and the goroutine that sees to it.
type member struct {
	fleet                 *Fleet
	id                    string
	key                   types.NamespacedName
	controlPlaneNamespace string
	facts                 *factsCell
	cancel                context.CancelFunc
	done                  chan struct{}
	// hurry ends a back-off early: the control plane has changed.
	hurry chan struct{}
	// readySince is when the control plane became ready; guarded by fleet.mu.
	readySince metav1.Time

	mu     sync.Mutex
	tenant *Tenant
	err    error
}

// run connects, stays connected and connects again until ctx ends.
func (m *member) run(ctx context.Context, aware multicluster.Aware) {
	defer close(m.done)
	log := ctrl.LoggerFrom(ctx)
	for {
		backoff := wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 8, Cap: 15 * time.Second}
		for {
			connected, err := m.session(ctx, aware)
			if ctx.Err() != nil {
				return
			}
			m.setState(nil, err)
			log.Info("Tenant is not connected", "reason", err.Error())
			if connected {
				break // it worked once: start over with a short back-off
			}
			if !m.pause(ctx, backoff.Step()) {
				return
			}
		}
		if !m.pause(ctx, backoff.Duration) {
			return
		}
	}
}

// session is one connection, from dialling to the failure that ended it.
func (m *member) session(ctx context.Context, aware multicluster.Aware) (connected bool, err error) {
	cl, err := m.fleet.connect(ctx, m.controlPlaneNamespace)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tenant := &Tenant{Cluster: cl, ID: m.id, Name: m.key.Name, VirtualCluster: m.key, facts: m.facts, end: cancel}
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel(nil)
	running.Go(func() {
		if err := cl.Start(ctx); err != nil {
			cancel(fmt.Errorf("running the tenant's caches: %w", err))
		}
	})
	if err := aware.Engage(ctx, m.id, tenant); err != nil {
		return false, fmt.Errorf("engaging: %w", err)
	}
	m.setState(tenant, nil)
	ctrl.LoggerFrom(ctx).Info("Tenant is connected")
	err = m.watch(ctx, cl)
	m.setState(nil, err) // before the context ends, so that nobody asks a tenant that is gone
	return true, err
}

// watch probes until the tenant has failed several times in a row.
func (m *member) watch(ctx context.Context, cl cluster.Cluster) error {
	ticker := m.fleet.options.Clock.NewTicker(m.fleet.options.ProbeInterval)
	defer ticker.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C():
		}
		err := probe(ctx, cl.GetConfig(), cl.GetHTTPClient())
		if err == nil {
			failures = 0
			continue
		}
		if failures++; failures >= m.fleet.options.ProbeFailures {
			return fmt.Errorf("%w: %w", errProbe, err)
		}
	}
}

func (m *member) hurryUp() {
	select {
	case m.hurry <- struct{}{}:
	default:
	}
}

// pause waits d or until the control plane changes; it reports whether to go on.
func (m *member) pause(ctx context.Context, d time.Duration) bool {
	timer := m.fleet.options.Clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C():
	case <-m.hurry:
	}
	return true
}

func (m *member) setState(tenant *Tenant, err error) {
	m.mu.Lock()
	m.tenant, m.err = tenant, err
	m.mu.Unlock()
	m.fleet.announce(m.key)
}

func (m *member) state() (*Tenant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tenant, m.err
}

// stop ends the goroutine and waits until the tenant is disengaged.
func (m *member) stop() {
	m.cancel()
	<-m.done
}

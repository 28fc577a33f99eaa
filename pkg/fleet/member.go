// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/multicluster"
)

var (
	// errProbe is why a connection was given up.
	errProbe = errors.New("the tenant's API server stopped answering")
	// errKubeconfig is why a connection was made anew.
	errKubeconfig = fmt.Errorf("%w: the kubeconfig has changed", ErrNotConnected)
)

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
	// recheck asks whether the connection's kubeconfig is still the one in its Secret.
	recheck chan struct{}
	// readySince is when the control plane became ready; guarded by fleet.mu.
	readySince metav1.Time
	// leaving says that the member is being stopped; guarded by fleet.mu.
	leaving bool

	mu     sync.Mutex
	tenant *Tenant
	err    error
}

// run connects, after a pause, stays connected and connects again until ctx ends.
func (m *member) run(ctx context.Context, aware multicluster.Aware, firstPause time.Duration) {
	defer close(m.done)
	if !m.pause(ctx, firstPause) {
		return
	}
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
	cl, kubeconfig, err := m.fleet.connect(ctx, m.controlPlaneNamespace)
	if err != nil {
		return false, err
	}
	// Each session has connections of its own, which stay open by themselves.
	defer utilnet.CloseIdleConnectionsFor(cl.GetHTTPClient().Transport)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tenant := &Tenant{Cluster: cl, ID: m.id, Name: m.key.Name, VirtualCluster: m.key, facts: m.facts, end: cancel, use: &use{}}
	var running sync.WaitGroup
	defer running.Wait()
	defer tenant.use.close() // after the context has ended what is being done
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
	err = m.watch(ctx, cl, kubeconfig)
	m.setState(nil, err) // before the context ends, so that nobody asks a tenant that is gone
	return true, err
}

// watch probes until the tenant has failed several times in a row, or must be
// reached in another way.
func (m *member) watch(ctx context.Context, cl cluster.Cluster, kubeconfig []byte) error {
	prober, err := m.fleet.newProber(cl.GetConfig(), cl.GetHTTPClient())
	if err != nil {
		return err
	}
	timer := m.fleet.options.Clock.NewTimer(m.fleet.untilProbe(0))
	defer timer.Stop()
	for failures := 0; ; {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-m.recheck:
			now, err := m.fleet.kubeconfig(ctx, m.controlPlaneNamespace)
			if err == nil && !bytes.Equal(now, kubeconfig) {
				return errKubeconfig
			}
			continue
		case <-timer.C():
		}
		err := prober.probe(ctx)
		if err == nil {
			failures = 0
		} else if failures++; failures >= m.fleet.options.ProbeFailures {
			return fmt.Errorf("%w: %w", errProbe, err)
		}
		timer.Reset(m.fleet.untilProbe(failures))
	}
}

func (m *member) hurryUp() { signal(m.hurry) }

func (m *member) checkKubeconfig() { signal(m.recheck) }

// signal never blocks: one that waits is enough.
func signal(to chan<- struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// untried reports a member that has neither connected nor failed yet.
func (m *member) untried() bool {
	tenant, err := m.state()
	return tenant == nil && err == nil
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

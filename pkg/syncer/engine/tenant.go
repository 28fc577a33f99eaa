// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// tenant is an engaged tenant. Its context ends when it is disengaged.
type tenant struct {
	*fleet.Tenant
	ctx    context.Context //nolint:containedctx // it is the connection's, not a call's.
	names  names.Tenant
	client client.Client
	super  client.Reader
	synced atomic.Bool
	brake  *brake
	// breakers by party; see Engine.equip.
	breakers [parties]*breaker
	// freed asks for a pass over everything: deletions were held, and may go on.
	freed chan struct{}

	// cluster is the identity of the tenant's cluster. It is set before synced.
	cluster types.UID
	// version is the latest known of the tenant's database; follow alone uses it.
	version string
	// shown is the highest version of an object that the caches have shown.
	shown highest
}

// highest remembers the highest of some versions. It is safe for concurrent use.
type highest struct {
	mu      sync.Mutex
	version string
}

func (h *highest) add(version string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.version == "" || isBehind(h.version, version) {
		h.version = version
	}
}

func (h *highest) get() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.version
}

// isAnother reports that what a tenant says about itself now is not what this
// connection began with, or shows a state before what its caches have shown.
func (t *tenant) isAnother(now presence) bool {
	return now.cluster != t.cluster || isBehind(now.version, t.version) || isBehind(now.version, t.shown.get())
}

// newTenant returns a tenant with a brake of the default policy.
func newTenant(ctx context.Context, t *fleet.Tenant) *tenant {
	return &tenant{
		Tenant: t, ctx: ctx, client: watchedClient{t.GetClient(), atTenant}, names: names.Tenant{ID: t.ID, Name: t.Name},
		brake: newBrake(BrakePolicy{}, clock.RealClock{}), freed: make(chan struct{}, 1),
	}
}

// GetAPIReader returns a live reader whose requests count for the breaker.
func (t *tenant) GetAPIReader() client.Reader {
	return watchedReader{t.Tenant.GetAPIReader(), atTenant}
}

// enter admits a pass to both API servers, or says how long to wait.
func (t *tenant) enter() (wait time.Duration) {
	for i, b := range t.breakers {
		if wait := b.Enter(); wait > 0 {
			for _, entered := range t.breakers[:i] {
				entered.Leave(outcome{})
			}
			return wait
		}
	}
	return 0
}

func (t *tenant) leave(c *calls) {
	for i, b := range t.breakers {
		b.Leave(c[i])
	}
}

// env returns what a kind may know about the tenant, without a way to tell it something.
func (t *tenant) env() kind.Env {
	facts, _ := t.Facts()
	return kind.Env{
		Names: t.names,
		Facts: kind.Facts{
			ServiceCIDR:           facts.ServiceCIDR,
			ControlPlaneAddresses: facts.ControlPlaneAddresses,
			DefaultRuntimeClass:   facts.Sandbox.Default,
			AllowedRuntimeClasses: facts.Sandbox.Allowed,
			PodSecurity:           facts.Sandbox.PodSecurity,
			Sharing:               facts.Sharing,
		},
		Tenant: t.client,
		Super:  t.super,
	}
}

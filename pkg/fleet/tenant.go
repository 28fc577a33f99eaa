// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"net/netip"
	"reflect"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Facts are what the platform decided for a tenant.
type Facts struct {
	// ServiceCIDR is the tenant's slice of the service range.
	ServiceCIDR netip.Prefix
	// ControlPlaneAddresses are the addresses of the control plane's replicas.
	ControlPlaneAddresses []string
	// Sandbox is the class's choice of RuntimeClasses.
	Sandbox tenancyv1alpha1.ClassSandbox
	// Sharing is what the class lets the tenant see of the super cluster.
	Sharing tenancyv1alpha1.ClassSharing
	// Syncing is how the class wants the tenant served.
	Syncing tenancyv1alpha1.ClassSyncing
	// Quota is what the tenant's pods together may ask for; empty means no bound.
	Quota corev1.ResourceList
}

// Tenant is one connection to a tenant's control plane. It embeds the cluster:
// its client, cache and configuration are the tenant's. It is what
// multicluster.Aware.Engage receives.
type Tenant struct {
	cluster.Cluster

	// ID is the tenant id, the UID of the VirtualCluster.
	ID string
	// Name is the VirtualCluster's name.
	Name string
	// VirtualCluster is the key of the VirtualCluster.
	VirtualCluster types.NamespacedName

	facts *factsCell
	end   func(cause error)
	use   *use
}

// Disconnect ends the connection, with a cause that State shows until there is
// another: whoever finds that its caches cannot be believed any more gets new ones.
func (t *Tenant) Disconnect(cause error) {
	if t.end != nil {
		t.end(cause)
	}
}

// Use registers something that is done for the tenant. The tenant counts as
// disengaged only when done has been called, so what is done must end soon after
// the context given to Engage. ok is false when the tenant is disengaged: then
// nothing may be done, and done is nil.
func (t *Tenant) Use() (done func(), ok bool) { return t.use.begin() }

// NewTenant returns a tenant that is served by cl. Tests and callers with a
// cluster of their own use it; Fleet makes the others.
func NewTenant(cl cluster.Cluster, id string, virtualCluster types.NamespacedName, facts Facts) *Tenant {
	return &Tenant{Cluster: cl, ID: id, Name: virtualCluster.Name, VirtualCluster: virtualCluster, facts: newFactsCell(facts), use: &use{}}
}

// On returns the same tenant, with the same facts, served by another view of its
// cluster.
func (t *Tenant) On(view cluster.Cluster) *Tenant {
	on := *t
	on.Cluster = view
	return &on
}

// Facts returns the tenant's facts as of now, and a channel that is closed when they change.
func (t *Tenant) Facts() (Facts, <-chan struct{}) { return t.facts.get() }

// factsCell holds facts that change while a tenant is connected.
type factsCell struct {
	mu      sync.Mutex
	facts   Facts
	changed chan struct{}
}

func newFactsCell(facts Facts) *factsCell {
	return &factsCell{facts: facts, changed: make(chan struct{})}
}

func (c *factsCell) get() (Facts, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.facts, c.changed
}

// set reports whether the facts are others than before.
func (c *factsCell) set(facts Facts) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if reflect.DeepEqual(c.facts, facts) {
		return false
	}
	c.facts = facts
	close(c.changed)
	c.changed = make(chan struct{})
	return true
}

// use counts what is being done, and can be closed.
type use struct {
	mu     sync.Mutex
	count  int
	closed bool
	// idle is made by close if there is something to wait for.
	idle chan struct{}
}

func (u *use) begin() (done func(), ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed {
		return nil, false
	}
	u.count++
	return u.end, true
}

func (u *use) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count--
	if u.count == 0 && u.idle != nil {
		close(u.idle)
	}
}

// close lets nothing begin any more, and waits for what has begun. It is called once.
func (u *use) close() {
	u.mu.Lock()
	u.closed = true
	if u.count > 0 {
		u.idle = make(chan struct{})
	}
	idle := u.idle
	u.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

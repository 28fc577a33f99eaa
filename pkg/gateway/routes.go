// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// route leads from a name to a tenant.
type route struct {
	// tenant is the UID of the VirtualCluster.
	tenant types.UID
	// name is what clients ask for; backend is host:port of the API server.
	name, backend string
}

// routeOf returns where a VirtualCluster's name leads, if it has one and is not
// being deleted.
//
// External control planes are left out whatever their status says: who runs
// them chooses their address, and must not choose what the gateway connects to.
func routeOf(virtualCluster *tenancyv1alpha1.VirtualCluster) (route, bool) {
	status := virtualCluster.Status.ControlPlane
	own := virtualCluster.Spec.ControlPlane
	switch {
	case !virtualCluster.DeletionTimestamp.IsZero(), status == nil, own != nil && own.External != nil:
		return route{}, false
	case status.Hostname == "", status.InternalEndpoint == "":
		return route{}, false
	}
	return route{tenant: virtualCluster.UID, name: status.Hostname, backend: status.InternalEndpoint}, true
}

// Routes knows where names lead and who is connected. It is filled by the
// events of an informer of VirtualClusters. Safe for concurrent use.
type Routes struct {
	metrics   *Metrics
	perTenant int

	mutex    sync.Mutex
	byObject map[types.NamespacedName]*tenant
	// byName has more than one tenant for a name only by somebody's mistake;
	// then it leads nowhere.
	byName   map[string][]*tenant
	labelled int
}

var _ toolscache.ResourceEventHandler = &Routes{}

// NewRoutes returns Routes that lead nowhere. perTenant is how many connections
// each tenant may have.
func NewRoutes(metrics *Metrics, perTenant int) *Routes {
	return &Routes{
		metrics: metrics, perTenant: perTenant,
		byObject: map[types.NamespacedName]*tenant{}, byName: map[string][]*tenant{},
	}
}

// tenant is a route with the connections that took it.
type tenant struct {
	route
	metrics tenantMetrics
	// sessions end when their function is called. Guarded by Routes.mutex.
	sessions map[*session]struct{}
}

// session is one connection on its way to, or with, a tenant.
type session struct {
	tenant *tenant
	end    context.CancelFunc
}

// OnAdd implements ResourceEventHandler.
func (r *Routes) OnAdd(object any, _ bool) { r.observe(object) }

// OnUpdate implements ResourceEventHandler.
func (r *Routes) OnUpdate(_, object any) { r.observe(object) }

// OnDelete implements ResourceEventHandler.
func (r *Routes) OnDelete(object any) {
	if unknown, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = unknown.Obj
	}
	if virtualCluster, ok := object.(*tenancyv1alpha1.VirtualCluster); ok {
		r.mutex.Lock()
		defer r.mutex.Unlock()
		r.remove(keyOf(virtualCluster))
	}
}

func keyOf(virtualCluster *tenancyv1alpha1.VirtualCluster) types.NamespacedName {
	return types.NamespacedName{Namespace: virtualCluster.Namespace, Name: virtualCluster.Name}
}

// observe takes note of what a VirtualCluster says now. When it leads somewhere
// else than before, who was led there is cut off: the address may be another's soon.
func (r *Routes) observe(object any) {
	virtualCluster, ok := object.(*tenancyv1alpha1.VirtualCluster)
	if !ok {
		return
	}
	key := keyOf(virtualCluster)
	next, leads := routeOf(virtualCluster)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if present := r.byObject[key]; present != nil {
		if leads && present.route == next {
			return
		}
		r.remove(key)
	}
	if !leads {
		return
	}
	added := &tenant{route: next, metrics: r.metrics.tenant(r.label(next.tenant)), sessions: map[*session]struct{}{}}
	r.byObject[key] = added
	r.byName[next.name] = append(r.byName[next.name], added)
}

// label returns the value of the label tenant for one more tenant.
func (r *Routes) label(id types.UID) string {
	if r.labelled >= maxLabels {
		return otherTenants
	}
	r.labelled++
	return string(id)
}

// remove forgets a route and ends every session on it.
func (r *Routes) remove(key types.NamespacedName) {
	gone := r.byObject[key]
	if gone == nil {
		return
	}
	delete(r.byObject, key)
	var left []*tenant
	for _, other := range r.byName[gone.name] {
		if other != gone {
			left = append(left, other)
		}
	}
	if r.byName[gone.name] = left; len(left) == 0 {
		delete(r.byName, gone.name)
	}
	for session := range gone.sessions {
		session.end()
	}
	if gone.metrics.label != otherTenants {
		r.labelled--
	}
	r.metrics.forget(gone.metrics.label)
}

// enter returns a session with the tenant that has the name, or why there is
// none. end is called, once or more, when the session must end. Looking up and
// entering is one step: a tenant that is removed afterwards finds the session.
func (r *Routes) enter(name string, end context.CancelFunc) (*session, reason) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	found := r.byName[name]
	switch {
	case name == "":
		return nil, reasonNoName
	case len(found) != 1:
		return nil, reasonUnknownName
	case len(found[0].sessions) >= r.perTenant:
		return nil, reasonTenantLimit
	}
	entered := &session{tenant: found[0], end: end}
	found[0].sessions[entered] = struct{}{}
	found[0].metrics.open.Inc()
	return entered, ""
}

// leave ends a session's part in the limit of its tenant.
func (r *Routes) leave(left *session) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(left.tenant.sessions, left)
	left.tenant.metrics.open.Dec()
}

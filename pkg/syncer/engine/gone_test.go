// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// TestWhoIsAskedBeforeAStart: what runs once is started without asking the
// tenant only while no other engine can have started it, and this one has not.
func TestWhoIsAskedBeforeAStart(t *testing.T) {
	key := overlayKey{"tenant-1", types.NamespacedName{Namespace: "shop", Name: "web"}}
	for name, tc := range map[string]struct {
		sole    bool
		happens func(*controller)
		asks    int
	}{
		"alone":                     {true, func(*controller) {}, 0},
		"perhaps not alone":         {false, func(*controller) {}, 1},
		"its super object has gone": {true, func(c *controller) { c.ended.set(key, "new") }, 1},
		"its forerunner's has gone": {true, func(c *controller) { c.ended.set(key, "old") }, 0},
		"it was bound": {true, func(c *controller) {
			c.bindings.created(key, &corev1.Pod{ObjectMeta: tenantObjects("new")[1].(*corev1.Pod).ObjectMeta})
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")[0])
			tenantSide.live = interceptor.NewClient(tenantSide.live, interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					asked++
					return c.Get(ctx, key, o, opts...)
				},
			})
			k := process()
			k.Attach = nil
			e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{k.Translator()}, Sole: func(string) bool { return tc.sole }})
			if err != nil {
				t.Fatal(err)
			}
			tc.happens(e.controllers[0])
			p := &pass{
				controller: e.controllers[0], tenantCluster: newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{})),
				request: request{Tenant: "tenant-1", NamespacedName: key.NamespacedName},
			}
			if _, err := p.reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if asked != tc.asks {
				t.Errorf("asked %d times, want %d", asked, tc.asks)
			}
			if !exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, &corev1.Pod{}) {
				t.Error("it was not started")
			}
		})
	}
}

// TestWhoIsAskedAfterAnEnd: what the super cluster has said itself is believed; of
// what its cache merely does not show, it is asked.
func TestWhoIsAskedAfterAnEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		says    func(*controller, client.Object)
		unknown bool // the tenant, when it was said
		asks    int
	}{
		"nothing":                {says: func(*controller, client.Object) {}, asks: 1},
		"it is gone":             {says: func(c *controller, pod client.Object) { c.sawEnd(pod) }},
		"gone before its tenant": {says: func(c *controller, pod client.Object) { c.sawEnd(pod) }, unknown: true, asks: 1},
		"its forerunner is gone": {says: func(c *controller, _ client.Object) { c.sawEnd(superObjects("old")[1]) }, asks: 1},
		"a stranger is gone":     {says: func(c *controller, _ client.Object) { c.sawEnd(&corev1.Pod{}) }, asks: 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")[0])
			superSide.live = interceptor.NewClient(superSide.live, interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					asked++
					return c.Get(ctx, key, o, opts...)
				},
			})
			k := process()
			k.Bound = func(*corev1.Pod) bool { return true } // it has run
			e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{k.Translator()}})
			if err != nil {
				t.Fatal(err)
			}
			engaged := newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{}))
			if !tc.unknown {
				engaged.synced.Store(true)
				e.tenants["tenant-1"] = engaged
			}
			tc.says(e.controllers[0], superObjects("new")[1])
			p := &pass{
				controller: e.controllers[0], tenantCluster: engaged,
				request: request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web"}},
			}
			if _, err := p.reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if asked != tc.asks {
				t.Errorf("asked %d times, want %d", asked, tc.asks)
			}
			if exists(t, tenantSide.live, types.NamespacedName{Namespace: "shop", Name: "web"}, &corev1.Pod{}) {
				t.Error("the tenant's is still there")
			}
		})
	}
}

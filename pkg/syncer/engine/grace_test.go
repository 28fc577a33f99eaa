// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// ending is a pod that is being deleted, or not.
type ending struct {
	grace    int64         // as asked for; -1: it lives; -2: there is none
	deadline time.Duration // from now
}

func (e ending) apply(object client.Object, now time.Time) []client.Object {
	switch e.grace {
	case -2:
		return nil
	case -1:
	default:
		object.SetDeletionTimestamp(&metav1.Time{Time: now.Add(e.deadline)})
		object.SetDeletionGracePeriodSeconds(&e.grace)
		object.SetFinalizers([]string{"example.com/stay"})
	}
	return []client.Object{object}
}

// TestGrace: what each state of the two pods makes of the grace of the other. A
// deletion never gives more time than was left, asks for nothing that is asked
// for, and gives a super pod at least a second.
func TestGrace(t *testing.T) {
	lives, gone := ending{grace: -1}, ending{grace: -2}
	cases := map[string]struct {
		tenant, super           ending
		superGrace, tenantGrace []int64
	}{
		"both live":                       {tenant: lives, super: lives},
		"deleted":                         {tenant: ending{30, 30 * time.Second}, super: lives, superGrace: []int64{30}},
		"deleted a while ago":             {tenant: ending{30, 12 * time.Second}, super: lives, superGrace: []int64{12}},
		"with ten minutes":                {tenant: ending{600, 600 * time.Second}, super: lives, superGrace: []int64{600}},
		"with a second":                   {tenant: ending{1, time.Second}, super: lives, superGrace: []int64{1}},
		"its deadline is over":            {tenant: ending{30, -time.Minute}, super: lives, superGrace: []int64{1}},
		"passed on":                       {tenant: ending{30, 20 * time.Second}, super: ending{30, 20 * time.Second}},
		"shortened":                       {tenant: ending{5, 5 * time.Second}, super: ending{600, 590 * time.Second}, superGrace: []int64{5}},
		"super has less":                  {tenant: ending{600, 600 * time.Second}, super: ending{10, 10 * time.Second}},
		"forced":                          {tenant: gone, super: lives, superGrace: []int64{1}},
		"forced while it ends":            {tenant: gone, super: ending{600, 590 * time.Second}, superGrace: []int64{1}},
		"forced, and super is at its end": {tenant: gone, super: ending{1, time.Second}},
		"super is gone":                   {tenant: ending{30, 20 * time.Second}, super: gone, tenantGrace: []int64{0}},
		"super ends by itself":            {tenant: lives, super: ending{40, 31 * time.Second}, tenantGrace: []int64{31}},
		"super ends by itself, and its time is up": {tenant: lives, super: ending{40, -time.Minute}, tenantGrace: []int64{1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(2_000_000, 0)
			tenantObjects, superObjects := tenantObjects("new"), superObjects("new")
			tenantSide := newSide(append(tc.tenant.apply(tenantObjects[1], now), tenantObjects[0])...)
			superSide := newSide(append(tc.super.apply(superObjects[1], now), superObjects[0])...)
			recorded := func(graces *[]int64) interceptor.Funcs {
				return interceptor.Funcs{Delete: func(_ context.Context, _ client.WithWatch, _ client.Object, opts ...client.DeleteOption) error {
					options := new(client.DeleteOptions).ApplyOptions(opts)
					if options.Preconditions == nil || options.Preconditions.UID == nil {
						t.Error("a deletion without the UID")
					}
					*graces = append(*graces, *options.GracePeriodSeconds)
					return nil
				}}
			}
			var superGrace, tenantGrace []int64
			superSide.intercept(recorded(&superGrace))
			tenantSide.intercept(recorded(&tenantGrace))
			k := process()
			k.Attach, k.Up = nil, nil
			e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{k.Translator()}, Clock: clocktesting.NewFakeClock(now)})
			if err != nil {
				t.Fatal(err)
			}
			tn := newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{}))
			key := types.NamespacedName{Namespace: "shop", Name: "web"}
			e.controllers[0].witness.saw(request{Tenant: "tenant-1", NamespacedName: key}, "new")
			p := &pass{controller: e.controllers[0], tenantCluster: tn, request: request{Tenant: "tenant-1", NamespacedName: key}}
			if _, err := p.reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.superGrace, superGrace); diff != "" {
				t.Errorf("the super pod's (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.tenantGrace, tenantGrace); diff != "" {
				t.Errorf("the tenant's pod's (-want +got):\n%s", diff)
			}
		})
	}
}

// TestANameRunsOnce: a tenant's pod of the name of another, whose super pod is
// not gone, gets none of its own.
func TestANameRunsOnce(t *testing.T) {
	tenantSide, superSide := newSide(tenantObjects("successor")...), newSide(superObjects("new")...)
	superSide.intercept(interceptor.Funcs{
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return nil }, // its containers still run
		Create: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.CreateOption) error {
			t.Errorf("%T was created", o)
			return nil
		},
	})
	k := process()
	k.Attach = nil
	if err := reconcileKind(t, k.Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide); err != nil {
		t.Fatal(err)
	}
	var super corev1.Pod
	exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, &super)
	if super.UID != "super" {
		t.Errorf("the super pod is %s", super.UID)
	}
}

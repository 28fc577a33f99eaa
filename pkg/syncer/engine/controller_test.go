// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// TestWhenAnOutcomeIsLookedAtAgain: nothing that goes on failing keeps a worker busy.
func TestWhenAnOutcomeIsLookedAtAgain(t *testing.T) {
	reject, wait, failure := kind.Reject("spec.hostNetwork", "no"), kind.Wait("node n"), errors.New("broken")
	cases := map[string]struct {
		err          error
		times        int  // how often it came out like this
		superRefuses bool // what is in the way may go
		ahead        bool // the cache was late
		again        time.Duration
		want         time.Duration // zero: not until the object changes
	}{
		"done":                           {times: 1},
		"done, with a token to renew":    {times: 1, again: time.Hour, want: time.Hour},
		"done, ahead of the cache":       {times: 1, ahead: true, want: overlayTTL + time.Second},
		"ahead of the cache, and sooner": {times: 1, ahead: true, again: time.Second, want: time.Second},
		"rejected":                       {err: reject, times: 3},
		"rejected by super":              {err: reject, times: 1, superRefuses: true, want: 20 * time.Millisecond},
		"rejected by super for long":     {err: reject, times: 20, superRefuses: true, want: 20 * time.Second},
		"waiting":                        {err: wait, times: 1, want: 20 * time.Millisecond},
		"waiting for a while":            {err: wait, times: patience, want: 2 * time.Second},
		"waiting for long":               {err: wait, times: 2 * patience, want: longWait},
		"failed":                         {err: failure, times: 1, want: 20 * time.Millisecond},
		"failed for long":                {err: failure, times: 30, want: 20 * time.Second},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
			e, err := New(Options{Super: newSide(), Kinds: []*kind.Translator{process().Translator()}, Clock: clock})
			if err != nil {
				t.Fatal(err)
			}
			c, r := e.controllers[0], req("tenant-1", "web")
			tn := newTenant(t.Context(), fleet.NewTenant(newSide(), "tenant-1", virtualCluster, fleet.Facts{}))
			var due time.Duration
			for range tc.times {
				c.queue.Add(r, begin)
				taken, _, _ := c.queue.Get()
				p := &pass{controller: c, tenantCluster: tn, request: taken, ahead: tc.ahead, refusedBySuper: tc.superRefuses}
				c.settle(t.Context(), p, tc.again, tc.err)
				due = 0
				if it := c.queue.items[r]; it.timer != nil {
					due = it.due.Sub(clock.Now())
				}
				c.queue.Done(r)
			}
			if due != tc.want {
				t.Errorf("looked at again after %s, want %s", due, tc.want)
			}
		})
	}
}

// TestToldWithinTenSeconds: what a tenant waits for is told within ten seconds,
// and not for what takes a moment.
func TestToldWithinTenSeconds(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	inTenant := newSide(tenantObjects("new")...)
	e, err := New(Options{Super: newSide(), Kinds: []*kind.Translator{process().Translator()}, Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	c, r := e.controllers[0], req("tenant-1", "web").in("shop")
	tn := newTenant(t.Context(), fleet.NewTenant(inTenant, "tenant-1", virtualCluster, fleet.Facts{}))
	began := clock.Now()
	for {
		c.queue.Add(r, begin)
		taken, _, _ := c.queue.Get()
		p := &pass{controller: c, tenantCluster: tn, request: taken, tenant: tenantObjects("new")[1]}
		c.settle(t.Context(), p, 0, kind.Wait("a node"))
		c.queue.Done(r)
		var events corev1.EventList
		if err := inTenant.live.List(t.Context(), &events); err != nil {
			t.Fatal(err)
		}
		if len(events.Items) > 0 {
			break
		}
		clock.SetTime(c.queue.items[r].due)
	}
	if after := clock.Since(began); after > 10*time.Second || after < 5*time.Second {
		t.Errorf("told after %s", after)
	}
}

// TestStuckNamespace: a super namespace that does not go, and an object of which
// a forerunner does not go, are waited for by their names.
func TestStuckNamespace(t *testing.T) {
	now := metav1.Now()
	stuck := func(object client.Object) client.Object {
		object.SetDeletionTimestamp(&now)
		object.SetFinalizers([]string{"example.com/stuck"})
		return object
	}
	declared := process()
	declared.Lifecycle, declared.Attach = kind.Declared, nil
	cases := map[string]struct {
		super []client.Object
		k     *kind.Translator
		want  string
	}{
		"the namespace":  {[]client.Object{stuck(superObjects("new")[0])}, process().Translator(), "namespace"},
		"the forerunner": {[]client.Object{superObjects("new")[0], stuck(superObjects("new")[1])}, declared.Translator(), "forerunner"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := reconcileKind(t, tc.k, types.NamespacedName{Namespace: "shop", Name: "web"}, newSide(tenantObjects("new")...), newSide(tc.super...))
			if !kind.IsWait(err) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "still being removed") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestWhatATenantIsToldOfAnError: what is wrong with its object, that a webhook
// of the super cluster is down but not which, and nothing about connections or
// about a webhook of its own.
func TestWhatATenantIsToldOfAnError(t *testing.T) {
	webhookDown := apierrors.NewInternalError(errors.New(`failed calling webhook "a.example.com": failed to call webhook: Post "https://192.0.2.1": connection refused`))
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", errors.New("in "+superNamespaceName()))
	for name, tc := range map[string]struct {
		super, tenant error // what each answers to a write
		want          string
	}{
		"super refuses":            {denied, nil, `writing the super object: pods "web" is forbidden: in shop`},
		"super's webhook is down":  {webhookDown, nil, "an admission webhook of the platform's cluster does not answer; it is tried again"},
		"super has trouble":        {apierrors.NewInternalError(errors.New("etcdserver: leader changed")), nil, ""},
		"super is not there":       {errors.New("connection refused"), nil, ""},
		"tenant's webhook is down": {nil, webhookDown, ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := process()
			k.Attach = nil
			superSide, tenantSide := newSide(superObjects("new")...), newSide(tenantObjects("new")...)
			superSide.intercept(interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
				return tc.super
			}})
			tenantSide.intercept(interceptor.Funcs{SubResourceUpdate: func(context.Context, client.Client, string, client.Object, ...client.SubResourceUpdateOption) error {
				return tc.tenant
			}})
			e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{k.Translator()}})
			if err != nil {
				t.Fatal(err)
			}
			p := &pass{
				controller: e.controllers[0], tenantCluster: newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{})),
				request: request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web"}},
			}
			_, err = p.reconcile(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			if got := p.complaint(err); got != tc.want {
				t.Errorf("told %q, want %q", got, tc.want)
			}
		})
	}
}

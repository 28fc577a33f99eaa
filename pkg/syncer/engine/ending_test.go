// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// onItsWay marks a pod as one that is on its way out.
func onItsWay(pod client.Object, grace int64) *corev1.Pod {
	marked := pod.DeepCopyObject().(*corev1.Pod)
	now := metav1.NewTime(time.Unix(2_000_000, 0))
	marked.DeletionTimestamp, marked.DeletionGracePeriodSeconds = &now, &grace
	marked.ResourceVersion = "77"
	return marked
}

// TestOnlyEnds: a super object that goes as the tenant has asked says nothing new
// until it is gone; all else does.
func TestOnlyEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		before, now func(*corev1.Pod) *corev1.Pod
		unasked     bool
		want        bool
	}{
		"it begins to go":        {now: func(p *corev1.Pod) *corev1.Pod { return onItsWay(p, 30) }, want: true},
		"its grace is cut short": {before: func(p *corev1.Pod) *corev1.Pod { return onItsWay(p, 30) }, now: func(p *corev1.Pod) *corev1.Pod { return onItsWay(p, 0) }, want: true},
		"nobody asked":           {now: func(p *corev1.Pod) *corev1.Pod { return onItsWay(p, 30) }, unasked: true},
		"it does not go":         {now: func(p *corev1.Pod) *corev1.Pod { p.ResourceVersion = "77"; return p }},
		"it reports something": {now: func(p *corev1.Pod) *corev1.Pod {
			p = onItsWay(p, 30)
			p.Status.Phase = corev1.PodFailed
			return p
		}},
		"it is changed": {now: func(p *corev1.Pod) *corev1.Pod {
			p = onItsWay(p, 30)
			p.Labels["x"] = "y"
			return p
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := New(Options{Super: newSide(), Kinds: []*kind.Translator{process().Translator()}})
			if err != nil {
				t.Fatal(err)
			}
			c := e.controllers[0]
			if !tc.unasked {
				c.witness.saw(request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web"}}, "new")
			}
			before, now := superObjects("new")[1].(*corev1.Pod), superObjects("new")[1].(*corev1.Pod)
			if tc.before != nil {
				before = tc.before(before)
			}
			now = tc.now(now)
			if got := c.superOnlyEnds(before, now); got != tc.want {
				t.Errorf("ignored: %v, want %v", got, tc.want)
			}
		})
	}
}

// TestEndIsRefused: an end that is refused as that of another object is asked for
// again, instead of being taken for done.
func TestEndIsRefused(t *testing.T) {
	tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")[0])
	tenantSide.intercept(interceptor.Funcs{
		Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
			return apierrors.NewConflict(schema.GroupResource{Resource: "pods"}, "web", nil)
		},
	})
	k := process()
	k.Bound = func(*corev1.Pod) bool { return true } // it has run
	e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{k.Translator()}})
	if err != nil {
		t.Fatal(err)
	}
	p := &pass{
		controller: e.controllers[0], tenantCluster: newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{})),
		request: request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web"}},
	}
	if _, err := p.reconcile(t.Context()); !apierrors.IsConflict(err) {
		t.Errorf("the pass ended with %v", err)
	}
	if p.controller.asked(p.tenantCluster, onItsWay(tenantObjects("new")[1], 0)) {
		t.Error("it counts as asked for")
	}
}

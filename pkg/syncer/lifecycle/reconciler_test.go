// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
)

var key = types.NamespacedName{Namespace: "default", Name: "demo"}

// connections is a fleet with one answer.
type connections struct {
	tenant *fleet.Tenant
	err    error
	hold   *engine.Hold
	events chan string
}

func (c *connections) State(types.NamespacedName) (*fleet.Tenant, error) { return c.tenant, c.err }
func (c *connections) Changes() <-chan types.NamespacedName              { return nil }

func newReconciler(t *testing.T, c *connections, synced bool, objects ...client.Object) (*Reconciler, client.Client) {
	t.Helper()
	recorder := events.NewFakeRecorder(8)
	c.events = recorder.Events
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), tenancyv1alpha1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	superClient := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&tenancyv1alpha1.VirtualCluster{}).
		WithIndex(&corev1.Pod{}, tenantField, func(o client.Object) []string { return []string{o.GetLabels()[tenancyv1alpha1.LabelTenantID]} }).
		Build()
	return New(Options{
		SuperClient: superClient, SuperReader: superClient, Connections: c, Synced: func(string) bool { return synced },
		Held: func(string) (*engine.Hold, bool) { return c.hold, synced }, Recorder: recorder,
	}), superClient
}

func virtualCluster(finalizers ...string) *tenancyv1alpha1.VirtualCluster {
	return &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: "tenant-1", Finalizers: finalizers}}
}

func stamped[T client.Object](object T, tenantID string) T {
	object.SetUID(types.UID("uid-of-" + object.GetName()))
	identity.Stamp(object, identity.Owner{TenantID: tenantID, Name: object.GetName(), UID: "u"}, key)
	return object
}

func TestCondition(t *testing.T) {
	tenant := fleet.NewTenant(nil, "tenant-1", key, fleet.Facts{})
	broken := errors.New("connection refused")
	cases := map[string]struct {
		connections connections
		synced      bool
		before      []metav1.Condition
		status      metav1.ConditionStatus
		reason      string
	}{
		"does not take part":            {status: metav1.ConditionFalse, reason: tenancyv1alpha1.ReasonWaiting},
		"connecting for the first time": {connections: connections{err: broken}, status: metav1.ConditionFalse, reason: tenancyv1alpha1.ReasonWaiting},
		"connected":                     {connections: connections{tenant: tenant}, status: metav1.ConditionFalse, reason: tenancyv1alpha1.ReasonProvisioning},
		"synced":                        {connections: connections{tenant: tenant}, synced: true, status: metav1.ConditionTrue, reason: tenancyv1alpha1.ReasonReady},
		"lost": {
			connections: connections{err: broken}, status: metav1.ConditionFalse, reason: tenancyv1alpha1.ReasonTenantUnreachable,
			before: []metav1.Condition{{Type: tenancyv1alpha1.ConditionSyncerReady, Status: metav1.ConditionTrue}},
		},
		"still lost": {
			connections: connections{err: broken}, status: metav1.ConditionFalse, reason: tenancyv1alpha1.ReasonTenantUnreachable,
			before: []metav1.Condition{{Type: tenancyv1alpha1.ConditionSyncerReady, Status: metav1.ConditionFalse, Reason: tenancyv1alpha1.ReasonTenantUnreachable}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, _ := newReconciler(t, &tc.connections, tc.synced)
			vc := virtualCluster()
			vc.Status.Conditions = tc.before
			got := r.condition(vc)
			if got.Status != tc.status || got.Reason != tc.reason || got.Message == "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestLivingVirtualCluster(t *testing.T) {
	mine := stamped(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "mine"}}, "tenant-1")
	other := stamped(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "b", Name: "other"}}, "tenant-2")
	r, superClient := newReconciler(t, &connections{}, false, virtualCluster(), mine, other)
	result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key})
	if err != nil || result.RequeueAfter == 0 {
		t.Fatalf("result %+v, error %v", result, err)
	}
	var vc tenancyv1alpha1.VirtualCluster
	if err := superClient.Get(t.Context(), key, &vc); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{tenancyv1alpha1.FinalizerSyncer}, vc.Finalizers); diff != "" {
		t.Errorf("finalizers (-want +got):\n%s", diff)
	}
	if vc.Status.Pods == nil || *vc.Status.Pods != 1 || meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionSyncerReady) == nil {
		t.Errorf("status %+v", vc.Status)
	}
	version := vc.ResourceVersion
	if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
		t.Fatal(err)
	}
	if err := superClient.Get(t.Context(), key, &vc); err != nil || vc.ResourceVersion != version {
		t.Errorf("a second look wrote something (error %v)", err)
	}
}

func TestEndOfAVirtualCluster(t *testing.T) {
	now := metav1.Now()
	deleted := virtualCluster(tenancyv1alpha1.FinalizerSyncer, tenancyv1alpha1.FinalizerManager)
	deleted.DeletionTimestamp = &now
	objects := func() []client.Object {
		return []client.Object{
			deleted.DeepCopy(),
			stamped(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "vc-mine"}}, "tenant-1"),
			stamped(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "vc-mine", Name: "web"}}, "tenant-1"),
			stamped(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "vc-other"}}, "tenant-2"),
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "x"}},
		}
	}
	for name, c := range map[string]connections{
		"waits until it no longer takes part": {tenant: fleet.NewTenant(nil, "tenant-1", key, fleet.Facts{})},
		"waits until it is given up":          {err: errors.New("unreachable")},
	} {
		t.Run(name, func(t *testing.T) {
			r, superClient := newReconciler(t, &c, false, objects()...)
			for range 3 { // as often as it takes otherwise
				if result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil || result.RequeueAfter == 0 {
					t.Fatalf("result %+v, error %v", result, err)
				}
			}
			for _, object := range objects() {
				if err := superClient.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
					t.Errorf("%T %s is gone: %v", object, object.GetName(), err)
				}
			}
			var vc tenancyv1alpha1.VirtualCluster
			if err := superClient.Get(t.Context(), key, &vc); err != nil || !slices.Contains(vc.Finalizers, tenancyv1alpha1.FinalizerSyncer) {
				t.Errorf("finalizers %v, error %v", vc.Finalizers, err)
			}
		})
	}
	t.Run("removes what is the tenant's and nothing else", func(t *testing.T) {
		r, superClient := newReconciler(t, &connections{}, false, objects()...)
		for range 3 { // the pods, the namespaces, and to see that they are gone
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
				t.Fatal(err)
			}
		}
		var namespaces corev1.NamespaceList
		if err := superClient.List(t.Context(), &namespaces); err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, namespace := range namespaces.Items {
			left = append(left, namespace.Name)
		}
		if diff := cmp.Diff([]string{"kube-system", "vc-other"}, left); diff != "" {
			t.Errorf("namespaces (-want +got):\n%s", diff)
		}
		var vc tenancyv1alpha1.VirtualCluster
		if err := superClient.Get(t.Context(), key, &vc); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{tenancyv1alpha1.FinalizerManager}, vc.Finalizers); diff != "" {
			t.Errorf("finalizers (-want +got):\n%s", diff)
		}
	})
}

func TestPodGrace(t *testing.T) {
	short, long := int64(2), int64(3600)
	for name, tc := range map[string]struct {
		own  *int64
		want int64
	}{"none": {nil, 10}, "short": {&short, 2}, "long": {&long, 10}} {
		if got := *podGrace(&corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: tc.own}}); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// TestAnotherReplicasTenant: nothing is written for it, alive or at its end.
func TestAnotherReplicasTenant(t *testing.T) {
	now := metav1.Now()
	for name, deletion := range map[string]*metav1.Time{"living": nil, "ending": &now} {
		t.Run(name, func(t *testing.T) {
			vc := virtualCluster(tenancyv1alpha1.FinalizerSyncer)
			vc.DeletionTimestamp = deletion
			pod := stamped(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "pod"}}, "tenant-1")
			r, superClient := newReconciler(t, &connections{}, false, vc, pod)
			r.options.Owns = func(id string) bool { return id != "tenant-1" }
			var before, after tenancyv1alpha1.VirtualCluster
			if err := superClient.Get(t.Context(), key, &before); err != nil {
				t.Fatal(err)
			}
			result, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key})
			if err != nil || result.RequeueAfter == 0 {
				t.Errorf("result %+v, error %v", result, err)
			}
			if err := superClient.Get(t.Context(), key, &after); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
			if err := superClient.Get(t.Context(), client.ObjectKeyFromObject(pod), &corev1.Pod{}); err != nil {
				t.Error(err)
			}
		})
	}
}

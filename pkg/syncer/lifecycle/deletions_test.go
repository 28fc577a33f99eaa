// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
)

// TestAHoldIsToldAndRead: it is a condition with the hold's own time, and one
// event; the condition is what another process goes on from.
func TestAHoldIsToldAndRead(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := &connections{hold: &engine.Hold{Reason: tenancyv1alpha1.ReasonTenantWentBack, Message: "it is older", Since: since}}
	r, superClient := newReconciler(t, c, true, virtualCluster(tenancyv1alpha1.FinalizerSyncer))
	condition := func() *metav1.Condition {
		t.Helper()
		for range 2 {
			if _, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key}); err != nil {
				t.Fatal(err)
			}
		}
		var vc tenancyv1alpha1.VirtualCluster
		if err := superClient.Get(t.Context(), key, &vc); err != nil {
			t.Fatal(err)
		}
		if meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionSyncerReady) == nil {
			t.Error("the other condition is gone")
		}
		return meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionDeletionsSynced)
	}
	held := condition()
	if held == nil || held.Status != metav1.ConditionFalse || held.Message != "it is older" || !held.LastTransitionTime.Time.Equal(since) {
		t.Errorf("condition %+v", held)
	}
	if len(c.events) != 1 {
		t.Errorf("%d events, want one", len(c.events))
	}
	record, err := Record(t.Context(), superClient, key)
	want := engine.HoldRecord{Reason: tenancyv1alpha1.ReasonTenantWentBack, Since: since}
	if diff := cmp.Diff(want, record); diff != "" || err != nil {
		t.Errorf("error %v, record (-want +got):\n%s", err, diff)
	}
	c.hold = nil
	if over := condition(); over.Status != metav1.ConditionTrue || over.Reason != tenancyv1alpha1.ReasonReady {
		t.Errorf("condition %+v after the hold", over)
	}
	if record, err := Record(t.Context(), superClient, key); err != nil || record != (engine.HoldRecord{}) {
		t.Errorf("error %v, record %+v after the hold", err, record)
	}
}

func TestWhatAnOperatorAllows(t *testing.T) {
	cases := map[string]struct {
		value string
		want  time.Time
	}{
		"nothing":    {},
		"a time":     {"2026-01-02T03:04:05Z", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		"with zone":  {"2026-01-02T04:04:05+01:00", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		"not a time": {value: "true"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			vc := virtualCluster()
			vc.Annotations = map[string]string{tenancyv1alpha1.AnnotationAllowDeletions: tc.value}
			_, superClient := newReconciler(t, &connections{}, false, vc)
			record, err := Record(t.Context(), superClient, key)
			if err != nil || !record.Allowed.Equal(tc.want) {
				t.Errorf("allowed %s, error %v, want %s", record.Allowed, err, tc.want)
			}
		})
	}
}

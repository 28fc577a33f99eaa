// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/event"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/addon"
)

// TestLookAgain: what is in order is looked at rarely, what is awaited soon, and
// what never comes ever later, so that hostile tenants hold no worker for long.
func TestLookAgain(t *testing.T) {
	cases := map[string]struct {
		reason    string
		status    metav1.ConditionStatus
		since     time.Duration
		low, high time.Duration
	}{
		"ready":                   {tenancyv1alpha1.ReasonReady, metav1.ConditionTrue, time.Hour, 2 * time.Minute, 144 * time.Second},
		"it starts":               {tenancyv1alpha1.ReasonProvisioning, metav1.ConditionFalse, 0, time.Second, time.Second},
		"it starts for an hour":   {tenancyv1alpha1.ReasonProvisioning, metav1.ConditionFalse, time.Hour, time.Minute, time.Minute},
		"refused":                 {tenancyv1alpha1.ReasonRefused, metav1.ConditionFalse, 0, 5 * time.Second, 5 * time.Second},
		"refused for a day":       {tenancyv1alpha1.ReasonRefused, metav1.ConditionFalse, 24 * time.Hour, 5 * time.Minute, 5 * time.Minute},
		"unreachable for an hour": {tenancyv1alpha1.ReasonTenantUnreachable, metav1.ConditionFalse, time.Hour, 90 * time.Second, 90 * time.Second},
		"a conflict":              {tenancyv1alpha1.ReasonConflict, metav1.ConditionFalse, 0, 5 * time.Second, 5 * time.Second},
		"disabled":                {tenancyv1alpha1.ReasonDisabled, metav1.ConditionFalse, time.Hour, 0, 0},
		"waiting":                 {tenancyv1alpha1.ReasonWaiting, metav1.ConditionUnknown, time.Hour, 0, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &DNS{Clock: clocktesting.NewFakePassiveClock(testNow)}
			state := metav1.Condition{Type: tenancyv1alpha1.ConditionDNSReady, Status: tc.status, Reason: tc.reason}
			virtualCluster := &tenancyv1alpha1.VirtualCluster{}
			reported := state
			reported.LastTransitionTime = metav1.NewTime(testNow.Add(-tc.since))
			virtualCluster.Status.Conditions = []metav1.Condition{reported}
			if got := d.lookAgain(virtualCluster, state); got < tc.low || got > tc.high {
				t.Errorf("after %s, want %s to %s", got, tc.low, tc.high)
			}
		})
	}
}

// TestTrouble: people are told whose fault it is.
func TestTrouble(t *testing.T) {
	for err, want := range map[error]string{
		addon.ErrUnreachable: tenancyv1alpha1.ReasonTenantUnreachable,
		addon.ErrConflict:    tenancyv1alpha1.ReasonConflict,
		addon.ErrRefused:     tenancyv1alpha1.ReasonRefused,
		errors.New("other"):  tenancyv1alpha1.ReasonError,
	} {
		got := trouble(errors.Join(nil, fmt.Errorf("applying: %w", err)))
		if got.Reason != want || got.Status != metav1.ConditionFalse || got.Message == "" {
			t.Errorf("%v: %+v, want %s", err, got, want)
		}
	}
}

func TestAvailability(t *testing.T) {
	cases := map[string]struct {
		generation, observed, available int64
		want                            metav1.ConditionStatus
	}{
		"available":           {2, 2, 1, metav1.ConditionTrue},
		"nothing available":   {2, 2, 0, metav1.ConditionFalse},
		"not yet looked at":   {2, 1, 1, metav1.ConditionFalse},
		"never looked at":     {1, 0, 0, metav1.ConditionFalse},
		"more than asked for": {2, 2, 3, metav1.ConditionTrue},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			deployment := &unstructured.Unstructured{Object: map[string]any{
				"metadata": map[string]any{"generation": tc.generation},
				"status":   map[string]any{"observedGeneration": tc.observed, "availableReplicas": tc.available},
			}}
			if got := availability([]*unstructured.Unstructured{{}, deployment}); got.Status != tc.want {
				t.Errorf("%+v, want %s", got, tc.want)
			}
		})
	}
	odd := &unstructured.Unstructured{Object: map[string]any{"spec": "no"}}
	if got := availability([]*unstructured.Unstructured{odd}); got.Status != metav1.ConditionFalse {
		t.Errorf("a Deployment that cannot be read: %+v", got)
	}
}

// TestOtherConditionChanged: a controller that its own report woke would go round for ever.
func TestOtherConditionChanged(t *testing.T) {
	with := func(conditions ...metav1.Condition) *tenancyv1alpha1.VirtualCluster {
		return &tenancyv1alpha1.VirtualCluster{Status: tenancyv1alpha1.VirtualClusterStatus{Conditions: conditions}}
	}
	ready := metav1.Condition{Type: tenancyv1alpha1.ConditionSyncerReady, Status: metav1.ConditionTrue, Reason: "Ready"}
	notYet := metav1.Condition{Type: tenancyv1alpha1.ConditionSyncerReady, Status: metav1.ConditionFalse, Reason: "Waiting"}
	words := ready
	words.Message = "other words"
	own := metav1.Condition{Type: tenancyv1alpha1.ConditionDNSReady, Status: metav1.ConditionTrue, Reason: "Ready"}
	cases := map[string]struct {
		before, after *tenancyv1alpha1.VirtualCluster
		want          bool
	}{
		"nothing":         {with(ready), with(ready), false},
		"its own":         {with(ready), with(ready, own), false},
		"the other's":     {with(notYet), with(ready), true},
		"the other's new": {with(), with(ready), true},
		"words":           {with(ready), with(words), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			changed := otherConditionChanged(tenancyv1alpha1.ConditionDNSReady)
			if got := changed.Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.want {
				t.Errorf("Update = %v, want %v", got, tc.want)
			}
		})
	}
}

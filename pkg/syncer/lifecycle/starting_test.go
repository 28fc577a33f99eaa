// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
)

// TestARestartIsNoNews: a syncer that has just started leaves a tenant's
// condition as the last one left it, unless it learns something bad, or has
// had enough time.
func TestARestartIsNoNews(t *testing.T) {
	tenant := fleet.NewTenant(nil, "tenant-1", key, fleet.Facts{})
	cases := map[string]struct {
		connections connections
		after       time.Duration
		before      metav1.ConditionStatus
		reason      string
	}{
		"not looked at yet":       {before: metav1.ConditionTrue, reason: "Before"},
		"not tried yet":           {connections: connections{err: fleet.ErrNotConnected}, before: metav1.ConditionTrue, reason: "Before"},
		"reading":                 {connections: connections{tenant: tenant}, before: metav1.ConditionTrue, reason: "Before"},
		"reading, nearly in time": {connections: connections{tenant: tenant}, after: startGrace - time.Second, before: metav1.ConditionTrue, reason: "Before"},
		"reading for too long":    {connections: connections{tenant: tenant}, after: startGrace, before: metav1.ConditionTrue, reason: tenancyv1alpha1.ReasonProvisioning},
		"unreachable":             {connections: connections{err: errors.New("refused")}, before: metav1.ConditionTrue, reason: tenancyv1alpha1.ReasonTenantUnreachable},
		"was not ready":           {connections: connections{tenant: tenant}, before: metav1.ConditionFalse, reason: tenancyv1alpha1.ReasonProvisioning},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clock := clocktesting.NewFakeClock(time.Now())
			r, _ := newReconciler(t, &tc.connections, false)
			r.options.Clock = clock
			vc := virtualCluster()
			vc.Status.Conditions = []metav1.Condition{{Type: tenancyv1alpha1.ConditionSyncerReady, Status: tc.before, Reason: "Before", Message: "x"}}
			r.condition(vc)
			clock.Step(tc.after)
			if got := r.condition(vc); got.Reason != tc.reason {
				t.Errorf("got %+v, want reason %s", got, tc.reason)
			}
		})
	}
}

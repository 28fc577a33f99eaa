// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

var testNow = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func conditions(statuses map[string]metav1.ConditionStatus) []metav1.Condition {
	var out []metav1.Condition
	for condition, status := range statuses {
		reason := tenancyv1alpha1.ReasonReady
		if status != metav1.ConditionTrue {
			reason = tenancyv1alpha1.ReasonProvisioning
		}
		out = append(out, metav1.Condition{Type: condition, Status: status, Reason: reason, Message: "message of " + condition})
	}
	return out
}

func allTrue() map[string]metav1.ConditionStatus {
	out := map[string]metav1.ConditionStatus{}
	for _, condition := range append(ownConditions(), foreignConditions()...) {
		out[condition] = metav1.ConditionTrue
	}
	return out
}

func TestSummarize(t *testing.T) {
	without := func(condition string) map[string]metav1.ConditionStatus {
		out := allTrue()
		delete(out, condition)
		return out
	}
	but := func(condition string, status metav1.ConditionStatus) map[string]metav1.ConditionStatus {
		out := allTrue()
		out[condition] = status
		return out
	}
	cases := map[string]struct {
		conditions map[string]metav1.ConditionStatus
		status     metav1.ConditionStatus
		reason     string
		names      string
	}{
		"all are True":         {allTrue(), metav1.ConditionTrue, tenancyv1alpha1.ReasonReady, ""},
		"the first own one":    {but(tenancyv1alpha1.ConditionClassResolved, metav1.ConditionFalse), metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning, "ClassResolved"},
		"an own one":           {but(tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse), metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning, "ControlPlaneReady"},
		"the syncer is silent": {without(tenancyv1alpha1.ConditionSyncerReady), metav1.ConditionFalse, tenancyv1alpha1.ReasonWaiting, "SyncerReady"},
		"the node is False":    {but(tenancyv1alpha1.ConditionNodeReady, metav1.ConditionFalse), metav1.ConditionFalse, tenancyv1alpha1.ReasonWaiting, "NodeReady"},
		"the node is Unknown":  {but(tenancyv1alpha1.ConditionNodeReady, metav1.ConditionUnknown), metav1.ConditionFalse, tenancyv1alpha1.ReasonWaiting, "NodeReady"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			virtualCluster := &tenancyv1alpha1.VirtualCluster{}
			virtualCluster.Status.Conditions = conditions(tc.conditions)
			s := newScope(virtualCluster)
			s.summarize(clocktesting.NewFakePassiveClock(testNow))
			ready := meta.FindStatusCondition(s.status.Conditions, tenancyv1alpha1.ConditionReady)
			if ready.Status != tc.status || ready.Reason != tc.reason || !strings.Contains(ready.Message, tc.names) {
				t.Errorf("Ready = %+v, want %s %s naming %q", ready, tc.status, tc.reason, tc.names)
			}
		})
	}
}

// TestStepsBehindTheFirstWait: what could not be tried says what it waits for.
func TestStepsBehindTheFirstWait(t *testing.T) {
	s := newScope(&tenancyv1alpha1.VirtualCluster{})
	now := clocktesting.NewFakePassiveClock(testNow)
	s.setFalse(tenancyv1alpha1.ConditionClassResolved, tenancyv1alpha1.ReasonClassNotFound, "no class", now)
	s.summarize(now)
	got := map[string]string{}
	for _, condition := range s.status.Conditions {
		got[condition.Type] = condition.Reason + ": " + condition.Message
	}
	want := map[string]string{
		"ClassResolved":     "ClassNotFound: no class",
		"NetworkAllocated":  "Waiting: waiting for condition ClassResolved",
		"CertificatesReady": "Waiting: waiting for condition ClassResolved",
		"ControlPlaneReady": "Waiting: waiting for condition ClassResolved",
		"Ready":             "ClassNotFound: ClassResolved: no class",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}

// TestOwnStatusLeavesOthersAlone: what is applied must not hold what the
// syncer and vn-agent write, or vc-manager would own and revert it.
func TestOwnStatusLeavesOthersAlone(t *testing.T) {
	pods := int32(3)
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	virtualCluster.Status.Pods = &pods
	virtualCluster.Status.Conditions = conditions(allTrue())
	own := ownStatus(virtualCluster)
	if own.Pods != nil {
		t.Errorf("pods = %d", *own.Pods)
	}
	for _, condition := range foreignConditions() {
		if meta.FindStatusCondition(own.Conditions, condition) != nil {
			t.Errorf("condition %s is another's", condition)
		}
	}
	if len(own.Conditions) != len(ownConditions()) || len(virtualCluster.Status.Conditions) != len(allTrue()) {
		t.Errorf("own = %v, of = %v", own.Conditions, virtualCluster.Status.Conditions)
	}
}

func TestTransitionTimeAndLongMessages(t *testing.T) {
	s := newScope(&tenancyv1alpha1.VirtualCluster{})
	clock := clocktesting.NewFakePassiveClock(testNow)
	condition := tenancyv1alpha1.ConditionControlPlaneReady
	s.setFalse(condition, tenancyv1alpha1.ReasonProvisioning, "a", clock)
	clock.SetTime(testNow.Add(time.Hour))
	s.setFalse(condition, tenancyv1alpha1.ReasonError, strings.Repeat("é", maxMessage), clock)
	got := meta.FindStatusCondition(s.status.Conditions, condition)
	if !got.LastTransitionTime.Time.Equal(testNow) {
		t.Errorf("lastTransitionTime = %v: the status did not change", got.LastTransitionTime)
	}
	if len(got.Message) > maxMessage || strings.ContainsRune(got.Message, '�') {
		t.Errorf("message of %d bytes: %q", len(got.Message), got.Message[len(got.Message)-8:])
	}
	s.setTrue(condition, clock)
	if got := meta.FindStatusCondition(s.status.Conditions, condition); !got.LastTransitionTime.Time.Equal(testNow.Add(time.Hour)) {
		t.Errorf("lastTransitionTime = %v: the status changed", got.LastTransitionTime)
	}
}

func TestTransitions(t *testing.T) {
	one := func(condition string, status metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: condition, Status: status, Reason: reason, Message: "why"}}
	}
	const ready, class = tenancyv1alpha1.ConditionReady, tenancyv1alpha1.ConditionClassResolved
	cases := map[string]struct {
		before, after []metav1.Condition
		want          []transition
	}{
		"became True": {nil, one(class, metav1.ConditionTrue, "Ready"), []transition{{"Normal", "ClassResolved", "condition ClassResolved is True"}}},
		"stays True":  {one(class, metav1.ConditionTrue, "Ready"), one(class, metav1.ConditionTrue, "Ready"), nil},
		"trouble":     {nil, one(class, metav1.ConditionFalse, "ClassNotFound"), []transition{{"Warning", "ClassNotFound", "ClassResolved: why"}}},
		"same trouble": {
			one(class, metav1.ConditionFalse, "ClassNotFound"), one(class, metav1.ConditionFalse, "ClassNotFound"), nil,
		},
		"other trouble": {
			one(class, metav1.ConditionFalse, "ClassNotFound"), one(class, metav1.ConditionFalse, "VersionNotOffered"),
			[]transition{{"Warning", "VersionNotOffered", "ClassResolved: why"}},
		},
		"under way":            {nil, one(class, metav1.ConditionFalse, "Provisioning"), nil},
		"Ready repeats no one": {nil, one(ready, metav1.ConditionFalse, "ClassNotFound"), nil},
		"deleting":             {nil, one(ready, metav1.ConditionFalse, "Deleting"), []transition{{"Normal", "Deleting", "why"}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, transitions(tc.before, tc.after), cmp.AllowUnexported(transition{})); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// TestEventsFit: the API server refuses an event whose note is too long, and
// the recorder drops it then.
func TestEventsFit(t *testing.T) {
	recorder := events.NewFakeRecorder(1)
	r := &Reconciler{Recorder: recorder}
	after := []metav1.Condition{{
		Type: tenancyv1alpha1.ConditionCertificatesReady, Status: metav1.ConditionFalse,
		Reason: tenancyv1alpha1.ReasonError, Message: strings.Repeat("x", maxMessage),
	}}
	recordTransitions(t.Context(), r.Recorder, &tenancyv1alpha1.VirtualCluster{}, nil, after)
	note := strings.TrimPrefix(<-recorder.Events, "Warning Error ")
	if len(note) > maxNote {
		t.Errorf("the note has %d bytes", len(note))
	}
}

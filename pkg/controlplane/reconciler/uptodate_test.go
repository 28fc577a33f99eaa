// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func TestReportUpToDate(t *testing.T) {
	set := func(wanted, ready, updated int32, revisions string) *appsv1.StatefulSet {
		out := &appsv1.StatefulSet{Spec: appsv1.StatefulSetSpec{Replicas: &wanted}}
		out.Status = appsv1.StatefulSetStatus{ReadyReplicas: ready, UpdatedReplicas: updated}
		out.Status.CurrentRevision, out.Status.UpdateRevision, _ = strings.Cut(revisions, " ")
		return out
	}
	unseen := set(3, 3, 3, "a a")
	unseen.Generation = 2
	scaling := []difference{{tenancyv1alpha1.ReasonScaling, "from 1 to 3"}}
	refused := append([]difference{{tenancyv1alpha1.ReasonRollingOut, "x"}}, difference{tenancyv1alpha1.ReasonUpgradeRefused, "no way back"})
	cases := map[string]struct {
		statefulSet *appsv1.StatefulSet
		neverReady  bool
		differences []difference
		reason      string // empty: there is no such condition
		message     string
	}{
		"not looked at":     {nil, false, nil, "", ""},
		"paused, unseen":    {nil, false, []difference{{tenancyv1alpha1.ReasonPaused, "hands off"}}, "Paused", "hands off"},
		"as it should be":   {set(3, 3, 3, "a a"), false, nil, "Ready", ""},
		"being made":        {set(1, 0, 1, "a a"), true, scaling, "Provisioning", "0 of 1"},
		"rolling":           {set(3, 3, 1, "a b"), false, nil, "RollingOut", "0 of 3 replicas are as they should be, 1 are ready"},
		"the last starts":   {set(3, 2, 3, "a b"), false, nil, "RollingOut", "1 are ready"},
		"not seen yet":      {unseen, false, nil, "RollingOut", "0 of 3"},
		"one of three down": {set(3, 2, 3, "a a"), false, nil, "ReplicaUnavailable", "2 of 3 replicas are ready; control-plane-1: OOMKilled: exit code 137"},
		"the only one down": {set(1, 0, 1, "a a"), false, nil, "Ready", ""},
		"scaling":           {set(3, 2, 3, "a a"), false, scaling, "Scaling", "from 1 to 3"},
		"refused":           {set(3, 3, 1, "a b"), false, refused, "UpgradeRefused", "no way back"},
		"made before":       {set(3, 3, 3, "b b"), false, nil, "RollingOut", "0 of 3"},
		"another version":   {set(3, 3, 3, "a a"), false, nil, "RollingOut", "from v1.37.1 to v1.38.0: 2 of 3"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := newScope(&tenancyv1alpha1.VirtualCluster{})
			s.statefulSet, s.differences = tc.statefulSet, tc.differences
			s.pods = []corev1.Pod{testPod("control-plane-0", true), testPod("control-plane-1", false)}
			if !tc.neverReady {
				s.status.Version = "v1.37.1"
			}
			if s.spec.Version.Name = "v1.37.1"; name == "another version" {
				s.spec.Version.Name = "v1.38.0"
			}
			s.reportUpToDate(clocktesting.NewFakePassiveClock(testNow))
			got := meta.FindStatusCondition(s.status.Conditions, tenancyv1alpha1.ConditionUpToDate)
			switch {
			case got == nil && tc.reason == "":
			case got == nil || got.Reason != tc.reason || !strings.Contains(got.Message, tc.message):
				t.Errorf("UpToDate = %+v, want %s %q", got, tc.reason, tc.message)
			case (got.Status == metav1.ConditionTrue) != (tc.reason == tenancyv1alpha1.ReasonReady):
				t.Errorf("UpToDate is %s with reason %s", got.Status, got.Reason)
			}
		})
	}
}

func testPod(name string, ready bool) corev1.Pod {
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{appsv1.ControllerRevisionHashLabelKey: "a"}}}
	if ready {
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		return pod
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled", ExitCode: 137}},
	}}
	return pod
}

func TestDatabaseLost(t *testing.T) {
	ended := func(message string) corev1.Pod {
		return corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
			State:                corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
			LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: message}},
		}}}}
	}
	lost, other := ended("E1120 the database is gone, and a new one would be empty: restore"), ended("no space left")
	for name, tc := range map[string]struct {
		pods []corev1.Pod
		want bool
	}{
		"no pod":                 {nil, false},
		"lost":                   {[]corev1.Pod{lost}, true},
		"other trouble":          {[]corev1.Pod{other}, false},
		"one of three":           {[]corev1.Pod{lost, other, other}, false},
		"running":                {[]corev1.Pod{{}}, false},
		"all, one by the others": {[]corev1.Pod{lost, ended("this volume holds no database, and nobody answers")}, true},
	} {
		if got := databaseLost(tc.pods); got != tc.want {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// asking is a question about a class that offers v1.36.4, v1.37.0 (deprecated),
// v1.37.1 (default) and v1.38.0, of a control plane of three replicas of running.
func asking(asked, running string, change ...func(*question)) question {
	q := question{
		class: "gold",
		offered: []tenancyv1alpha1.ClassVersion{
			{Name: "v1.36.4", Image: "image-36"}, {Name: "v1.37.0", Image: "image-370", Deprecated: true},
			{Name: "v1.37.1", Image: "image-37", Default: true}, {Name: "v1.38.0", Image: "image-38"},
		},
		asked: asked, running: running, template: running,
		want: 3, timeout: 5 * time.Minute, now: testNow,
	}
	if running != "" {
		q.runningImage = "remembered"
		for _, name := range []string{"cp-0", "cp-1", "cp-2"} {
			q.replicas = append(q.replicas, replica{name: name, version: running, ready: true, since: testNow.Add(-time.Hour)})
		}
	}
	for _, apply := range change {
		apply(&q)
	}
	return q
}

// since begins a change of version to v1.37.1 so long ago.
func since(ago time.Duration, state tenancyv1alpha1.UpgradeState) func(*question) {
	return func(q *question) {
		q.template = "v1.37.1"
		q.last = &tenancyv1alpha1.UpgradeStatus{
			From: "v1.36.4", To: "v1.37.1", State: state, StartTime: metav1.NewTime(testNow.Add(-ago)), Message: "because",
		}
	}
}

func with(index int, change func(*replica)) func(*question) {
	return func(q *question) { change(&q.replicas[index]) }
}

// fresh makes a replica one of v1.37.1 that has been so for a time.
func fresh(ready bool, ago time.Duration) func(*replica) {
	return func(r *replica) {
		r.version, r.ready, r.since, r.trouble = "v1.37.1", ready, testNow.Add(-ago), "ImagePullBackOff"
	}
}

func without(offered ...string) func(*question) {
	return func(q *question) {
		var left []tenancyv1alpha1.ClassVersion
		for _, offer := range q.offered {
			if !strings.Contains(strings.Join(offered, " "), offer.Name) {
				left = append(left, offer)
			}
		}
		q.offered = left
	}
}

func TestChoose(t *testing.T) {
	const minute = time.Minute
	rolling, rolledBack, completed := tenancyv1alpha1.UpgradeRolling, tenancyv1alpha1.UpgradeRolledBack, tenancyv1alpha1.UpgradeCompleted
	type want struct {
		version, image   string
		reason           string
		parts            []string // of the message
		state            tenancyv1alpha1.UpgradeState
		retreat, warning bool
		after            time.Duration
	}
	cases := map[string]struct {
		q    question
		want want
	}{
		"the default":                           {asking("", ""), want{version: "v1.37.1", image: "image-37"}},
		"asked for":                             {asking("v1.36.4", ""), want{version: "v1.36.4", image: "image-36"}},
		"the default moves on while it is made": {asking("", "", func(q *question) { q.template = "v1.36.4" }), want{version: "v1.36.4", image: "image-36"}},
		"back, where nothing was ever ready":    {asking("v1.36.4", "", func(q *question) { q.template = "v1.38.0" }), want{version: "v1.36.4", image: "image-36"}},
		"the default moved on":                  {asking("", "v1.36.4"), want{version: "v1.36.4", image: "image-36"}},
		"asked for what runs":                   {asking("v1.37.1", "v1.37.1"), want{version: "v1.37.1", image: "image-37"}},
		"deprecated": {asking("", "v1.37.0"), want{
			version: "v1.37.0", image: "image-370", warning: true, parts: []string{"v1.37.0", "v1.37.1, v1.38.0"}}},
		"no longer offered": {asking("", "v1.36.4", without("v1.36.4")), want{
			version: "v1.36.4", image: "remembered", reason: "VersionNotOffered", parts: []string{"gold", "v1.36.4", "v1.37.0, v1.37.1"}}},
		"an old one that was never offered here": {asking("", "v1.35.0"), want{
			version: "v1.35.0", image: "remembered", reason: "VersionNotOffered", parts: []string{"v1.36.4"}}},
		"another that is not offered": {asking("v1.40.0", "v1.37.1"), want{
			version: "v1.37.1", image: "image-37", reason: "VersionNotOffered", parts: []string{"v1.40.0", "v1.37.1, v1.38.0"}}},
		"a minor back": {asking("v1.36.4", "v1.37.1"), want{
			version: "v1.37.1", image: "image-37", reason: "UpgradeRefused", parts: []string{"older", "v1.37.1, v1.38.0"}}},
		"a patch back": {asking("v1.37.0", "v1.37.1"), want{
			version: "v1.37.1", image: "image-37", reason: "UpgradeRefused", parts: []string{"older", "v1.37.1, v1.38.0"}}},
		"two minors": {asking("v1.38.0", "v1.36.4"), want{
			version: "v1.36.4", image: "image-36", reason: "UpgradeRefused", parts: []string{"one minor", "v1.36.4, v1.37.0, v1.37.1"}}},

		"a minor on": {asking("v1.37.1", "v1.36.4"), want{version: "v1.37.1", image: "image-37", state: rolling}},
		"a patch on": {asking("v1.37.1", "v1.37.0"), want{version: "v1.37.1", image: "image-37", state: rolling}},
		"on while one is missing": {asking("v1.37.1", "v1.36.4", with(1, func(r *replica) { r.ready = false })), want{
			version: "v1.36.4", image: "image-36", reason: "RollingOut", parts: []string{"2 of 3"}}},
		"on while there are to be more": {asking("v1.37.1", "v1.36.4", func(q *question) { q.scaling = true }), want{
			version: "v1.36.4", image: "image-36", reason: "RollingOut", parts: []string{"is changing"}}},
		"on while none is ready": {asking("v1.37.1", "v1.36.4", func(q *question) { q.replicas = nil }), want{
			version: "v1.37.1", image: "image-37", state: rolling, after: 5 * minute}},
		"on after another change": {asking("v1.38.0", "v1.37.1", since(minute, completed)), want{version: "v1.38.0", image: "image-38", state: rolling}},

		"going on": {asking("v1.37.1", "v1.36.4", since(minute, rolling), with(2, fresh(false, 30*time.Second))), want{
			version: "v1.37.1", image: "image-37", state: rolling, after: 4*minute + 30*time.Second}},
		"nothing has begun yet": {asking("v1.37.1", "v1.36.4", since(time.Hour, rolling)), want{version: "v1.37.1", image: "image-37", state: rolling}},
		"a replica is missing": {asking("v1.37.1", "v1.36.4", since(4*minute, rolling), func(q *question) { q.replicas = q.replicas[:2] }), want{
			version: "v1.37.1", image: "image-37", state: rolling, after: minute}},
		"the second of three takes its own time": {asking("v1.37.1", "v1.36.4", since(9*minute, rolling),
			with(2, fresh(true, 2*minute)), with(1, fresh(false, minute))), want{
			version: "v1.37.1", image: "image-37", state: rolling, after: 4 * minute}},
		"the last between two pods": {asking("v1.37.1", "v1.36.4", since(9*minute, rolling),
			with(2, fresh(true, 3*minute)), with(1, fresh(true, minute)), func(q *question) { q.replicas = q.replicas[1:] }), want{
			version: "v1.37.1", image: "image-37", state: rolling, after: 4 * minute}},
		"an old one that is not ready is not the new one's fault": {asking("v1.37.1", "v1.36.4", since(time.Hour, rolling),
			with(0, func(r *replica) { r.ready = false })), want{version: "v1.37.1", image: "image-37", state: rolling}},
		"all are ready and it is not noted yet": {asking("v1.37.1", "v1.36.4", since(time.Hour, rolling),
			with(0, fresh(true, 1)), with(1, fresh(true, 1)), with(2, fresh(true, 1))), want{version: "v1.37.1", image: "image-37", state: rolling}},

		"not ready in time": {asking("v1.37.1", "v1.36.4", since(6*minute, rolling), with(2, fresh(false, 5*minute))), want{
			version: "v1.36.4", image: "image-36", state: rolledBack, reason: "RolledBack", parts: []string{"v1.37.1", "5m", "cp-2", "ImagePullBackOff"}, retreat: true}},
		"never made": {asking("v1.37.1", "v1.36.4", since(5*minute, rolling), func(q *question) { q.replicas = q.replicas[:2] }), want{
			version: "v1.36.4", image: "image-36", state: rolledBack, reason: "RolledBack", parts: []string{"missing"}}},
		"an old one does not end": {asking("v1.37.1", "v1.36.4", since(5*minute, rolling), with(2, func(r *replica) { r.terminating, r.ready = true, false })), want{
			version: "v1.36.4", image: "image-36", state: rolledBack, reason: "RolledBack", parts: []string{"cp-2 does not end"}}},
		"crash loop": {asking("v1.37.1", "v1.36.4", since(time.Second, rolling), with(2, fresh(false, 0)), with(2, func(r *replica) { r.crashLooping = true })), want{
			version: "v1.36.4", image: "image-36", state: rolledBack, reason: "RolledBack", parts: []string{"cp-2"}, retreat: true}},
		"crash loop of an old one": {asking("v1.37.1", "v1.36.4", since(time.Hour, rolling), with(0, func(r *replica) { r.crashLooping, r.ready = true, false })), want{
			version: "v1.37.1", image: "image-37", state: rolling}},
		"back to one that is not offered any more": {asking("v1.37.1", "v1.36.4", since(6*minute, rolling), with(2, fresh(false, 5*minute)), without("v1.36.4")), want{
			version: "v1.36.4", image: "remembered", state: rolledBack, reason: "RolledBack", retreat: true}},
		"no way back": {asking("v1.37.1", "v1.36.4", since(6*minute, rolling), with(2, fresh(false, 5*minute)), without("v1.36.4"),
			func(q *question) { q.runningImage = "" }), want{version: "v1.37.1", image: "image-37", state: rolling}},

		"rolled back": {asking("v1.37.1", "v1.36.4", since(time.Hour, rolledBack)), want{
			version: "v1.36.4", image: "image-36", state: rolledBack, reason: "RolledBack", parts: []string{"because"}}},
		"rolled back, and the pods are not": {asking("v1.37.1", "v1.36.4", since(time.Hour, rolledBack), with(2, fresh(false, minute))), want{
			version: "v1.36.4", image: "image-36", state: rolledBack, reason: "RolledBack", retreat: true}},
		"rolled back, another":  {asking("v1.37.0", "v1.36.4", since(time.Hour, rolledBack)), want{version: "v1.37.0", image: "image-370", state: rolling}},
		"rolled back, set back": {asking("v1.36.4", "v1.36.4", since(time.Hour, rolledBack)), want{version: "v1.36.4", image: "image-36"}},
		"rolled back, emptied":  {asking("", "v1.36.4", since(time.Hour, rolledBack)), want{version: "v1.36.4", image: "image-36"}},
		"rolled back, refused": {asking("v1.38.0", "v1.36.4", since(time.Hour, rolledBack)), want{
			version: "v1.36.4", image: "image-36", reason: "UpgradeRefused"}},
		"given up half way": {asking("v1.36.4", "v1.36.4", since(minute, rolling), with(2, fresh(true, minute))), want{
			version: "v1.36.4", image: "image-36", retreat: true}},
		"completed": {asking("v1.37.1", "v1.37.1", since(time.Hour, completed)), want{version: "v1.37.1", image: "image-37", state: completed}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := choose(tc.q)
			if err != nil {
				t.Fatal(err)
			}
			state := tenancyv1alpha1.UpgradeState("")
			if got.upgrade != nil {
				state = got.upgrade.State
			}
			if got.version.Name != tc.want.version || got.version.Image != tc.want.image {
				t.Errorf("version = %+v, want %s with %s", got.version, tc.want.version, tc.want.image)
			}
			if got.reason != tc.want.reason || state != tc.want.state || got.retreat != tc.want.retreat || got.requeueAfter != tc.want.after {
				t.Errorf("reason %q, state %q, retreat %t, after %s; want %+v", got.reason, state, got.retreat, got.requeueAfter, tc.want)
			}
			if (got.warning != "") != tc.want.warning {
				t.Errorf("warning = %q", got.warning)
			}
			for _, part := range tc.want.parts {
				if !strings.Contains(got.message+got.warning, part) {
					t.Errorf("the message %q does not say %q", got.message, part)
				}
			}
			if got.runningImage == "" && !strings.Contains(name, "no way back") {
				t.Error("the image to go back to is forgotten")
			}
		})
	}
}

func TestChooseBlocks(t *testing.T) {
	cases := map[string]struct {
		q     question
		parts []string
	}{
		"not offered, and nothing runs": {asking("v1.40.0", ""), []string{"spec.version", "gold", "v1.36.4", "v1.37.1"}},
		"what ran is not offered, and its image is not known": {
			asking("", "v1.36.4", without("v1.36.4"), func(q *question) { q.runningImage = "" }), []string{"gold", "v1.36.4"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := choose(tc.q)
			var wait *blocked
			if !errors.As(err, &wait) || wait.reason != tenancyv1alpha1.ReasonVersionNotOffered {
				t.Fatalf("error = %v", err)
			}
			for _, part := range tc.parts {
				if !strings.Contains(wait.message, part) {
					t.Errorf("the message %q does not name %q", wait.message, part)
				}
			}
		})
	}
}

// TestChooseAgain: who is asked again, with what was stored, chooses the same.
func TestChooseAgain(t *testing.T) {
	for name, q := range map[string]question{
		"begun":       asking("v1.37.1", "v1.36.4"),
		"rolled back": asking("v1.37.1", "v1.36.4", since(6*time.Minute, tenancyv1alpha1.UpgradeRolling), with(2, fresh(false, 5*time.Minute))),
	} {
		first, err := choose(q)
		if err != nil {
			t.Fatal(err)
		}
		q.last, q.now = first.upgrade, q.now.Add(time.Second)
		second, err := choose(q)
		if err != nil {
			t.Fatal(err)
		}
		if second.version != first.version || *second.upgrade != *first.upgrade || second.message != first.message {
			t.Errorf("%s: first %+v, then %+v", name, first, second)
		}
	}
}

func TestNextStray(t *testing.T) {
	pod := func(name, version string, ready bool) replica {
		return replica{name: name, version: version, ready: ready}
	}
	ending := pod("cp-1", "new", false)
	ending.terminating = true
	cases := map[string]struct {
		replicas []replica
		want     string // empty: none
	}{
		"one":                      {[]replica{pod("cp-0", "new", false)}, "cp-0"},
		"the broken one first":     {[]replica{pod("cp-0", "old", true), pod("cp-1", "new", false), pod("cp-2", "new", true)}, "cp-1"},
		"one at a time":            {[]replica{pod("cp-0", "old", true), ending, pod("cp-2", "new", false)}, ""},
		"one is missing":           {[]replica{pod("cp-0", "old", true), pod("cp-2", "new", true)}, ""},
		"not while one starts":     {[]replica{pod("cp-0", "old", true), pod("cp-1", "old", false), pod("cp-2", "new", true)}, ""},
		"a good one when all are":  {[]replica{pod("cp-0", "old", true), pod("cp-1", "old", true), pod("cp-2", "new", true)}, "cp-2"},
		"a broken one in any case": {[]replica{pod("cp-0", "old", true), pod("cp-1", "old", false), pod("cp-2", "new", false)}, "cp-2"},
		"all are back":             {[]replica{pod("cp-0", "old", true), pod("cp-1", "old", false), pod("cp-2", "old", true)}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want := 3
			if len(tc.replicas) == 1 {
				want = 1
			}
			if got, ok := nextStray(tc.replicas, "old", want); got != tc.want || ok != (tc.want != "") {
				t.Errorf("nextStray = %q, %t, want %q", got, ok, tc.want)
			}
		})
	}
}

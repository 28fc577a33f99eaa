// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestOverlayShowsTheNewer(t *testing.T) {
	object := func(version string) client.Object {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID("u"), ResourceVersion: version}}
	}
	key := overlayKey{tenant: "t"}
	cases := map[string]struct {
		change func(*overlay, *clocktesting.FakeClock)
		cached client.Object
		want   string // resource version; empty: nothing
	}{
		"a write before the cache has it": {func(*overlay, *clocktesting.FakeClock) {}, nil, "20"},
		"a write newer than the cache":    {func(*overlay, *clocktesting.FakeClock) {}, object("9"), "20"},
		"a cache newer than the write":    {func(*overlay, *clocktesting.FakeClock) {}, object("100"), "100"},
		"the cache has seen the write":    {func(o *overlay, _ *clocktesting.FakeClock) { o.observe(key, object("20"), false) }, nil, ""},
		"the cache has seen an older one": {func(o *overlay, _ *clocktesting.FakeClock) { o.observe(key, object("9"), false) }, nil, "20"},
		"the cache has seen its deletion": {func(o *overlay, _ *clocktesting.FakeClock) { o.observe(key, object("9"), true) }, nil, ""},
		"the write is too old to believe": {func(_ *overlay, c *clocktesting.FakeClock) { c.Step(time.Minute) }, nil, ""},
		"the tenant was dropped":          {func(o *overlay, _ *clocktesting.FakeClock) { o.dropTenant("t") }, nil, ""},
		"the write was forgotten":         {func(o *overlay, _ *clocktesting.FakeClock) { o.forget(key) }, nil, ""},
		"another tenant's was dropped":    {func(o *overlay, _ *clocktesting.FakeClock) { o.dropTenant("u") }, nil, "20"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			fake := clocktesting.NewFakeClock(time.Unix(0, 0))
			o := newOverlay(fake)
			o.created(key, object("20"))
			tc.change(o, fake)
			got := ""
			if latest := o.latest(key, tc.cached); latest != nil {
				got = latest.GetResourceVersion()
			}
			if got != tc.want {
				t.Errorf("version %q, want %q", got, tc.want)
			}
		})
	}
}

// TestOverlayShowsNoGhosts: a patch that was answered after the watch had told
// of the object's end does not bring the object back.
func TestOverlayShowsNoGhosts(t *testing.T) {
	object := func(uid types.UID, version string) client.Object {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid, ResourceVersion: version}}
	}
	key := overlayKey{tenant: "t"}
	cases := map[string]struct {
		write func(*overlay)
		shown bool
	}{
		"created":                      {func(o *overlay) { o.created(key, object("a", "20")) }, true},
		"created and changed":          {func(o *overlay) { o.created(key, object("a", "20")); o.changed(key, object("a", "21")) }, true},
		"changed":                      {func(o *overlay) { o.changed(key, object("a", "21")) }, false},
		"a namesake of it was created": {func(o *overlay) { o.created(key, object("b", "20")); o.changed(key, object("a", "21")) }, false},
		"created, seen and then changed": {func(o *overlay) {
			o.created(key, object("a", "20"))
			o.observe(key, object("a", "20"), false)
			o.changed(key, object("a", "21"))
		}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := newOverlay(clocktesting.NewFakeClock(time.Unix(0, 0)))
			tc.write(o)
			if got := o.latest(key, nil) != nil; got != tc.shown {
				t.Errorf("shown while the cache has nothing: %v", got)
			}
		})
	}
}

// TestAnEchoIsTheVersionThatWasWritten and nothing else: what somebody else has
// written since, or what is gone, is news.
func TestAnEchoIsTheVersionThatWasWritten(t *testing.T) {
	object := func(uid types.UID, version string) client.Object {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: uid, ResourceVersion: version}}
	}
	key := overlayKey{tenant: "t"}
	for name, tc := range map[string]struct {
		seen    client.Object
		deleted bool
		echo    bool
	}{
		"what was written":   {object("a", "20"), false, true},
		"what came after":    {object("a", "21"), false, false},
		"what came before":   {object("a", "19"), false, false},
		"its end":            {object("a", "20"), true, false},
		"a namesake":         {object("b", "20"), false, false},
		"a namesake's start": {object("b", "21"), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOverlay(clocktesting.NewFakeClock(time.Unix(0, 0)))
			if o.observe(key, tc.seen, tc.deleted) {
				t.Error("an echo of nothing")
			}
			o.created(key, object("a", "20"))
			if echo := o.observe(key, tc.seen, tc.deleted); echo != tc.echo {
				t.Errorf("echo: %v", echo)
			}
			if tc.echo && o.observe(key, tc.seen, tc.deleted) {
				t.Error("it is an echo twice: a list that shows it again must be looked at")
			}
		})
	}
}

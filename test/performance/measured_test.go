// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// measured runs a scenario and notes what it cost the syncer, from the moment at
// which its load begins. The scenario returns how many pods it made and ended
// through the syncer, or 0.
func (w *world) measured(b *testing.B, name string, scenario func(*testing.B, *world, string) int) {
	var before costs
	profile, saveProfiles := w.profiles(b, name)
	w.begin = sync.OnceFunc(func() {
		before = w.costs(b)
		profile()
	})
	process, peak := w.syncer.process, w.syncer.peak(b)
	pods := scenario(b, w, name)
	saveProfiles()
	// A run that is stopped leaves what it has measured.
	defer func() { must(b, results.Write(b.Context(), filepath.FromSlash(resultFile))) }()
	highest := peak()
	if process != w.syncer.process {
		return // it was another process: its counters began anew
	}
	results.Note(name, "syncer's peak private memory", "MiB", highest/(1<<20))
	if pods == 0 {
		return
	}
	w.costs(b).since(before).note(name, float64(pods))
}

// costs is what has been used up, by all that takes part.
type costs struct {
	cpu   map[string]time.Duration // by part
	calls map[string]float64       // of the syncer, by cluster and method
	// events that were shown to tenants: the super cluster has as many as it likes.
	events float64
}

func (w *world) costs(b *testing.B) costs {
	b.Helper()
	c := costs{calls: w.syncer.calls(b, w.super.Config.Host), cpu: map[string]time.Duration{
		"syncer": cpu(b, w.syncer.process.PID()), "super API server": cpu(b, w.super.PID()), "clients": cpu(b, os.Getpid()),
	}}
	var err error
	c.events, err = w.syncer.metric(b.Context(), "virtualcluster_syncer_writes_total", `cluster="tenant"`, `kind="Event"`)
	must(b, err)
	for name, process := range w.programs {
		c.cpu[name] = cpu(b, process.PID())
	}
	for _, tn := range w.tenants {
		c.cpu["tenants' API servers"] += cpu(b, tn.instance.PID())
	}
	return c
}

func (c costs) since(before costs) costs {
	for name, used := range before.cpu {
		c.cpu[name] -= used
	}
	for call, n := range before.calls {
		c.calls[call] -= n
	}
	c.events -= before.events
	return c
}

// note notes what was used up for each pod.
func (c costs) note(scenario string, pods float64) {
	for _, part := range slices.Sorted(maps.Keys(c.cpu)) {
		name := "CPU a pod of the " + part
		if part == "syncer" {
			name = "syncer's CPU a pod, created to gone"
		}
		results.Note(scenario, name, "ms", milliseconds(c.cpu[part])/pods)
	}
	writes := map[string]float64{}
	for _, call := range slices.Sorted(maps.Keys(c.calls)) {
		n := c.calls[call]
		if n >= pods/100 {
			results.Note(scenario, "calls a pod to "+call, "", n/pods)
		}
		cluster, method, _ := strings.Cut(call, " ")
		if method != http.MethodGet && method != http.MethodDelete {
			writes[cluster] += n
		}
	}
	writes["tenants"] -= c.events
	results.Note(scenario, "events a pod shown to tenants", "", c.events/pods)
	for _, cluster := range slices.Sorted(maps.Keys(writes)) {
		results.Note(scenario, "writes a pod to "+cluster+" until it runs", "", writes[cluster]/pods)
	}
}

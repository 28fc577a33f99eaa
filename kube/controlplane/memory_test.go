// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// TestTrimMemory: garbage is given back at the first look and at those after it.
func TestTrimMemory(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked, ticks := make(chan time.Duration), make(chan time.Time)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		trimMemory(ctx, func(wait time.Duration) <-chan time.Time {
			asked <- wait
			return ticks
		})
	}()
	for _, want := range []time.Duration{trimFirst, trimPeriod, trimPeriod} {
		if wait := <-asked; wait != want {
			t.Fatalf("waits %s, want %s", wait, want)
		}
		makeGarbage()
		ticks <- time.Time{}
	}
	<-asked
	if free := freeMemory(); free > trimWorth {
		t.Errorf("%d bytes are free and not given back", free)
	}
	cancel()
	<-ended
}

// TestPaceCollector: a process that makes no garbage rests, one that makes much
// of it gets its percentage back.
func TestPaceCollector(t *testing.T) {
	const configured = 60
	before := debug.SetGCPercent(configured)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	ctx, cancel := context.WithCancel(t.Context())
	asked, ticks, ended := make(chan struct{}), make(chan time.Time), make(chan struct{})
	go func() {
		defer close(ended)
		paceCollector(ctx, func(time.Duration) <-chan time.Time {
			asked <- struct{}{}
			return ticks
		})
	}()
	<-asked
	for name, tc := range []struct {
		collections int
		want        uint64
	}{
		{workingCycles + 1, configured},
		{0, restingPercent},
		{workingCycles, restingPercent},
		{workingCycles + 1, configured},
		{restingCycles + 1, configured},
		{0, restingPercent},
	} {
		for range tc.collections {
			runtime.GC()
		}
		ticks <- time.Time{}
		<-asked
		if got := read(metricPercent); got != tc.want {
			t.Errorf("step %d: GOGC is %d after %d collections, want %d", name, got, tc.collections, tc.want)
		}
	}
	cancel()
	<-ended
}

// makeGarbage leaves memory that was used, and that a collection has freed.
func makeGarbage() {
	var garbage [][]byte
	for range 64 {
		garbage = append(garbage, make([]byte, 1<<20))
	}
	runtime.KeepAlive(garbage)
	runtime.GC()
}

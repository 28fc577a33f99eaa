// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"runtime"
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

// makeGarbage leaves memory that was used, and that a collection has freed.
func makeGarbage() {
	var garbage [][]byte
	for range 64 {
		garbage = append(garbage, make([]byte, 1<<20))
	}
	runtime.KeepAlive(garbage)
	garbage = nil
	runtime.GC()
}

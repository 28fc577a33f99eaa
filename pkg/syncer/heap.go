// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/utils/clock"
)

const (
	// garbageRoom is how much garbage may lie beside what is in use before it is
	// collected, in bytes.
	garbageRoom = 32 << 20
	// With little in use Go's own measure takes less; with much, each collection looks
	// at all of it. (200 % with little costs a burst of 999 pods 23 MiB more and 4 %
	// less processor time.)
	maxGCPercent, minGCPercent = 100, 25
	// gcLookInterval is the time between two looks at what is in use.
	gcLookInterval = time.Second
	// quiet is how little is made between two looks while nothing happens, in bytes.
	quiet = 2 << 20
)

// heap keeps garbage from growing with what is in use. Go collects when there is
// as much of it as was in use, so that each pod would cost twice what is held of
// it. It does nothing if the environment says how Go is to collect.
type heap struct {
	clock      clock.WithTicker
	inUse      func() uint64
	setPercent func(percent int)
	// made is what was ever allocated, in bytes, and giveBack returns to the
	// machine what is not in use.
	made     func() uint64
	giveBack func()
}

func newHeap() *heap {
	return &heap{
		clock: clock.RealClock{}, inUse: inUse, setPercent: func(percent int) { debug.SetGCPercent(percent) },
		made: made, giveBack: debug.FreeOSMemory,
	}
}

// Start implements manager.Runnable.
func (h *heap) Start(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	ticker := h.clock.NewTicker(gcLookInterval)
	defer ticker.Stop()
	last, before := maxGCPercent, h.made()
	returned := before
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		inUse := h.inUse()
		percent := gcPercent(inUse)
		// Each change stops the program for a moment.
		if math.Abs(float64(percent-last)) > 0.1*float64(last) {
			h.setPercent(percent)
			last = percent
		}
		// What a burst leaves would be returned within minutes. It takes a collection,
		// which is worth it once for each burst.
		now := h.made()
		if now-before < quiet && now-returned > max(garbageRoom, inUse/2) {
			h.giveBack()
			returned = now
		}
		before = h.made()
	}
}

// made is what was ever allocated.
func made() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

// NeedLeaderElection says that a standby has caches, too.
func (h *heap) NeedLeaderElection() bool { return false }

// gcPercent is how much garbage there may be, as a part of what is in use.
func gcPercent(inUse uint64) int {
	return int(min(max(garbageRoom*100/max(inUse, 1), minGCPercent), maxGCPercent))
}

// inUse is what the last collection found, and what it had to look at besides.
func inUse() uint64 {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}}
	metrics.Read(samples)
	total := uint64(0)
	for _, sample := range samples {
		if sample.Value.Kind() == metrics.KindUint64 {
			total += sample.Value.Uint64()
		}
	}
	return total
}

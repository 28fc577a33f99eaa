// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"k8s.io/klog/v2"
)

const (
	// trimFirst is when the garbage of the start is given back: what the API
	// server builds once (OpenAPI, discovery) is many times what it keeps of it.
	trimFirst = 30 * time.Second
	// trimPeriod is how often it is looked at again. A collection takes a tenth
	// of a second of one core, and takes the place of one of Go's own.
	trimPeriod = time.Minute
	// trimWorth is how many bytes the process must have free and not given back
	// for a collection to be worth it.
	trimWorth = 4 << 20
)

const (
	// restingPercent is Go's GOGC of a process that rests: garbage may be this
	// part of what is in use. It collects more often then, but there is little to
	// collect: an idle tenant makes a few MB of garbage in ten seconds.
	restingPercent = 10
	// pacePeriod is how often it is decided whether the process rests. It rests
	// when it has collected at most restingCycles times in a period, and works
	// when it has more than workingCycles times. Between the two it stays as it
	// is: the same work takes twice the collections at half the percentage.
	pacePeriod    = 10 * time.Second
	restingCycles = 1
	workingCycles = 4
)

// Names of runtime/metrics.
const (
	// metricFree: memory of the heap that holds nothing and was not given back.
	metricFree = "/memory/classes/heap/free:bytes"
	// metricCycles: collections since the start.
	metricCycles = "/gc/cycles/total:gc-cycles"
	// metricPercent: GOGC as it is now.
	metricPercent = "/gc/gogc:percent"
)

// trimMemory gives free memory back to the system until ctx ends. Go does so
// by itself, slowly and not to the end; of a process that mostly rests, and of
// which a machine runs dozens, the rest is a tenth.
func trimMemory(ctx context.Context, after func(time.Duration) <-chan time.Time) {
	for wait := trimFirst; ; wait = trimPeriod {
		select {
		case <-ctx.Done():
			return
		case <-after(wait):
		}
		// Ahead of the collection only what earlier ones freed is counted: the
		// first is made in any case.
		if free := freeMemory(); wait == trimFirst || free > trimWorth {
			debug.FreeOSMemory()
			klog.V(2).InfoS("Gave memory back", "bytes", free)
		}
	}
}

// paceCollector lets a process that rests keep less garbage than GOGC says, and
// gives one that works its GOGC back, until ctx ends. Tenants mostly rest, and
// what they keep then decides how many a machine can hold; how many percent of
// its time one spends on collecting matters when it works.
func paceCollector(ctx context.Context, after func(time.Duration) <-chan time.Time) {
	working := read(metricPercent)
	if working <= restingPercent || working > math.MaxInt32 {
		return // somebody wants less than that, or no collector at all
	}
	resting := false
	for last := read(metricCycles); ; {
		select {
		case <-ctx.Done():
			return
		case <-after(pacePeriod):
		}
		now := read(metricCycles)
		if rests := pace(resting, now-last); rests != resting {
			resting = rests
			debug.SetGCPercent(percent(resting, int(working)))
			now = read(metricCycles) // the change itself may collect
		}
		last = now
	}
}

// pace tells from the collections of a period whether the process rests.
func pace(resting bool, cycles uint64) bool {
	if resting {
		return cycles <= workingCycles
	}
	return cycles <= restingCycles
}

func percent(resting bool, working int) int {
	if resting {
		return restingPercent
	}
	return working
}

// freeMemory returns how many bytes the heap has free and has not given back.
func freeMemory() uint64 { return read(metricFree) }

// read returns a number of the Go runtime's; 0 where a release has no such.
func read(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}

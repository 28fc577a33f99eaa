// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
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
	// of a second of one core, and Go makes one every two minutes anyway.
	trimPeriod = 5 * time.Minute
	// trimWorth is how many bytes the process must have free and not given back
	// for a collection to be worth it.
	trimWorth = 8 << 20
)

// Names of runtime/metrics: memory of the heap that holds nothing and was not
// given back to the system.
const metricFree = "/memory/classes/heap/free:bytes"

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

// freeMemory returns how many bytes the heap has free and has not given back.
func freeMemory() uint64 {
	sample := []metrics.Sample{{Name: metricFree}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0 // a Go release without it: then nothing is worth a collection
	}
	return sample[0].Value.Uint64()
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"testing"
	"time"
)

// idle measures the syncer while nothing happens.
func idle(b *testing.B, w *world, name string) int {
	w.waitRest(b)
	w.begin()
	w.idles(b, name)
	return 0
}

// idles waits, and notes what the syncer uses meanwhile.
func (w *world) idles(b *testing.B, name string) {
	b.Helper()
	const period = 20 * time.Second
	began, before := time.Now(), cpu(b, w.syncer.process.PID())
	<-time.After(period)
	results.Note(name, "syncer's CPU while idle", "% of a core", 100*float64(cpu(b, w.syncer.process.PID())-before)/float64(time.Since(began)))
}

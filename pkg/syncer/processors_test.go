// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"runtime"
	"testing"
)

func TestLimitProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(4)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
	for environment, want := range map[string]int{"4": 4, "": 2} {
		t.Setenv("GOMAXPROCS", environment)
		runtime.GOMAXPROCS(4)
		LimitProcessors()
		if got := runtime.GOMAXPROCS(0); got != want {
			t.Errorf("GOMAXPROCS=%q: %d of 4 processors, want %d", environment, got, want)
		}
	}
	for available, want := range map[int]int{1: 1, 2: 1, 3: 1, 16: 8} {
		if got := half(available); got != want {
			t.Errorf("%d of %d processors, want %d", got, available, want)
		}
	}
}

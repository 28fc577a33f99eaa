// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"os"
	"runtime"
)

// LimitProcessors has this process run on half of the processors that it may use,
// at least one, unless GOMAXPROCS in the environment says how many. The syncer
// waits for API servers most of the time: each event wakes a few goroutines, one
// after the other, and every further processor is one that is woken to look for
// something to do. With two of them it needed a sixth more processor time for a
// pod than with one, and a pod took two milliseconds longer to run.
//
// It changes the whole process; call it once, at its start.
func LimitProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(half(runtime.GOMAXPROCS(0)))
	}
}

func half(processors int) int { return max(1, processors/2) }

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	testingclock "k8s.io/utils/clock/testing"
)

func TestGCPercent(t *testing.T) {
	for name, tc := range map[string]struct {
		inUse uint64
		want  int
	}{
		"nothing yet":            {0, 100},
		"little":                 {8 << 20, 100},
		"the room is constant":   {64 << 20, 50},
		"so it is here":          {80 << 20, 40},
		"much: not all the time": {1 << 30, 25},
	} {
		t.Run(name, func(t *testing.T) {
			if got := gcPercent(tc.inUse); got != tc.want {
				t.Errorf("gcPercent(%d) = %d, want %d", tc.inUse, got, tc.want)
			}
		})
	}
}

func TestInUse(t *testing.T) {
	held := make([]byte, 64<<20)
	runtime.GC()
	if got := inUse(); got < uint64(len(held)) {
		t.Errorf("inUse() = %d, of which %d are held: the runtime does not know the metrics by these names", got, len(held))
	}
	runtime.KeepAlive(held)
}

func TestHeapFollowsWhatIsInUse(t *testing.T) {
	t.Setenv("GOGC", "")
	clock := testingclock.NewFakeClock(time.Now())
	now, set := make(chan uint64), make(chan int, 10)
	h := &heap{
		clock: clock, inUse: func() uint64 { return <-now }, setPercent: func(percent int) { set <- percent },
		made: func() uint64 { return 0 }, giveBack: func() {},
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Start(ctx) }()
	for !clock.HasWaiters() {
		runtime.Gosched()
	}
	for _, inUse := range []uint64{16 << 20, 64 << 20, 66 << 20, 1 << 30, 10 << 20} {
		clock.Step(gcLookInterval)
		now <- inUse
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	close(set)
	var got []int
	for percent := range set {
		got = append(got, percent)
	}
	if diff := cmp.Diff([]int{50, 25, 100}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHeapLeavesItToTheEnvironment(t *testing.T) {
	t.Setenv("GOGC", "200")
	h := &heap{clock: testingclock.NewFakeClock(time.Now()), inUse: func() uint64 { return 1 << 30 }, setPercent: func(int) { t.Error("changed") }}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestHeapGivesBackOnce: after a burst, and not while nothing happens after it.
func TestHeapGivesBackOnce(t *testing.T) {
	t.Setenv("GOGC", "")
	clock := testingclock.NewFakeClock(time.Now())
	step, total := make(chan uint64), uint64(0)
	var given []uint64
	h := &heap{
		clock: clock, setPercent: func(int) {},
		inUse: func() uint64 {
			total += <-step
			return 1
		},
		made: func() uint64 { return total }, giveBack: func() { given = append(given, total) },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Start(ctx) }()
	for !clock.HasWaiters() {
		runtime.Gosched()
	}
	for _, made := range []uint64{100 << 20, 100 << 20, 1, 1, 4 << 20, 1, 50 << 20, 1, 1} {
		clock.Step(gcLookInterval)
		step <- made
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]uint64{200<<20 + 1, 254<<20 + 4}, given); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

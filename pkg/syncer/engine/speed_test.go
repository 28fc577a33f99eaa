// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"
)

func TestSoon(t *testing.T) {
	at := time.Unix(1_000_000, 0)
	type seen struct {
		after, took time.Duration
		want        bool
	}
	for name, tc := range map[string][]seen{
		"the first":                    {{0, time.Second, true}},
		"twice as long":                {{0, time.Second, true}, {1, 2 * time.Second, true}},
		"much longer":                  {{0, time.Second, true}, {1, 3 * time.Second, false}},
		"milliseconds":                 {{0, 5 * time.Millisecond, true}, {1, 50 * time.Millisecond, true}, {1, 70 * time.Millisecond, false}},
		"the best was a minute ago":    {{0, time.Second, true}, {speedPeriod + 1, 3 * time.Second, false}},
		"the best was two minutes ago": {{0, time.Second, true}, {speedPeriod + 1, 3 * time.Second, false}, {speedPeriod + 1, 3 * time.Second, true}},
	} {
		t.Run(name, func(t *testing.T) {
			s, now := speed{}, at
			for i, one := range tc {
				now = now.Add(one.after)
				if got := s.soon(one.took, now); got != one.want {
					t.Errorf("%d: %s is soon: %v, want %v", i, one.took, got, one.want)
				}
			}
		})
	}
}

// TestTheBoundFollows: it grows to its most while all goes well, and shrinks to its
// least while all waits.
func TestTheBoundFollows(t *testing.T) {
	w := window{limit: firstUnaccepted}
	w.adapt(true)
	if w.limit != firstUnaccepted+unacceptedGrowth {
		t.Errorf("after one that came soon %v", w.limit)
	}
	for range 10_000 {
		w.adapt(true)
	}
	if w.limit != maxUnaccepted {
		t.Errorf("while all goes well %v", w.limit)
	}
	w.adapt(false)
	if w.limit != maxUnaccepted-unacceptedDecline {
		t.Errorf("after one that came late %v", w.limit)
	}
	for range 10_000 {
		w.adapt(false)
	}
	if w.limit != minUnaccepted {
		t.Errorf("while all waits %v", w.limit)
	}
}

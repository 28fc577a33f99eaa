// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"slices"
	"time"
)

// span is something that took time.
type span struct{ from, to time.Time }

func (s span) length() time.Duration { return s.to.Sub(s.from) }

// spans are those of many pods.
type spans []span

// joined are the spans of several sides.
func joined(each []spans) spans { return slices.Concat(each...) }

// length is the time from the first beginning to the last end.
func (s spans) length() time.Duration {
	first := slices.MinFunc(s, func(a, b span) int { return a.from.Compare(b.from) })
	last := slices.MaxFunc(s, func(a, b span) int { return a.to.Compare(b.to) })
	return last.to.Sub(first.from)
}

// rate is how many ended in a second, over the whole length.
func (s spans) rate() float64 { return float64(len(s)) / s.length().Seconds() }

// quantile returns the length that a part q of them did not exceed; q is in (0, 1].
func (s spans) quantile(q float64) time.Duration {
	lengths := make([]time.Duration, len(s))
	for i := range s {
		lengths[i] = s[i].length()
	}
	slices.Sort(lengths)
	return lengths[max(0, int(q*float64(len(s))+0.999999)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

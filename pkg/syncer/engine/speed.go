// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import "time"

const (
	// speedPeriod is how long the best time counts: what was possible once may not
	// be any more.
	speedPeriod = time.Minute
	// speedSlack is added to what counts as soon: milliseconds are no delay.
	speedSlack = 50 * time.Millisecond
)

// speed is how soon the super cluster accepts what is begun, at best. It is guarded
// by the queue's lock.
type speed struct {
	// before and now are the shortest times of the last period and of this one; 0
	// if there was none.
	before, now time.Duration
	began       time.Time // this period
}

// soon reports whether something took no longer than about twice what it takes at
// best: it has not waited for others.
func (s *speed) soon(took time.Duration, now time.Time) bool {
	if now.Sub(s.began) > speedPeriod {
		s.before, s.now, s.began = s.now, 0, now
	}
	if s.now == 0 || took < s.now {
		s.now = took
	}
	best := s.now
	if s.before > 0 {
		best = min(best, s.before)
	}
	return took <= 2*best+speedSlack
}

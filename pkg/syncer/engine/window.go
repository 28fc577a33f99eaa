// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"k8s.io/utils/clock"
)

// unacceptedTTL bounds how long something that was begun counts: a scheduler of the
// super cluster that does not work, or a node that says nothing, must not stop a
// tenant for good.
const unacceptedTTL = 2500 * time.Millisecond

// window bounds how much of one lane is begun and not yet accepted. The super
// cluster's scheduler and nodes take pods in the order in which they come: without
// a bound one tenant's thousand would stand before another's first, and what has
// begun would wait for what begins. It belongs to a lane and is guarded by the
// queue's lock.
//
// The bound follows the super cluster: it grows while what is begun is accepted
// about as soon as ever, which is when there is room for more, and shrinks while
// that takes longer, which is when what is begun only waits (as TCP Vegas does,
// Brakmo and Peterson 1995).
type window struct {
	limit  float64 // 0: no bound
	begun  map[request]*begun
	reopen clock.Timer
}

const (
	// firstUnaccepted is the bound of a lane at first; it stays between the others.
	firstUnaccepted, minUnaccepted, maxUnaccepted = 16, 8, 512
	// One that is accepted soon lets so much more be begun, and one that is late so
	// much less: within one round of all, a quarter more or half as much.
	unacceptedGrowth, unacceptedDecline = 0.25, 0.5
)

// begun is a request that takes a place in the window: while a worker has it,
// and if it has started something then until that is accepted.
type begun struct {
	at                time.Time
	started, accepted bool
}

// full reports whether nothing more may begin.
func (w *window) full() bool { return w.limit > 0 && len(w.begun) >= int(w.limit) }

// adapt changes the bound after one was accepted, soon or late.
func (w *window) adapt(soon bool) {
	if soon {
		w.limit = min(w.limit+unacceptedGrowth, maxUnaccepted)
		return
	}
	w.limit = max(w.limit-unacceptedDecline, minUnaccepted)
}

// enter takes a place for r, which a worker gets.
func (w *window) enter(r request, now time.Time) {
	if w.limit == 0 || w.begun[r] != nil {
		return
	}
	if w.begun == nil {
		w.begun = map[request]*begun{}
	}
	w.begun[r] = &begun{at: now}
}

// start keeps the place of r when its worker is done with it.
func (w *window) start(r request) {
	if b := w.begun[r]; b != nil {
		b.started = true
		w.settle(r)
	}
}

// accept gives the place of r back, now or when its worker is done with it.
func (w *window) accept(r request, now time.Time, speed *speed) {
	if b := w.begun[r]; b != nil && !b.accepted {
		b.accepted = true
		w.adapt(speed.soon(now.Sub(b.at), now))
		w.settle(r)
	}
}

func (w *window) settle(r request) {
	if b := w.begun[r]; b.started && b.accepted {
		delete(w.begun, r)
	}
}

// leave gives the place of r back unless it has started something.
func (w *window) leave(r request) {
	if b := w.begun[r]; b != nil && !b.started {
		delete(w.begun, r)
	}
}

// expire gives back what has been held for long, and returns how long until the
// next is; zero if nothing is held.
func (w *window) expire(now time.Time) time.Duration {
	var next time.Duration
	for r, b := range w.begun {
		left := b.at.Add(unacceptedTTL).Sub(now)
		if left <= 0 {
			delete(w.begun, r)
			continue
		}
		if next == 0 || left < next {
			next = left
		}
	}
	return next
}

// Started says that the request, which a worker has, began something that waits
// to be accepted.
func (q *fairQueue) Started(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(r)
	l.window.start(r)
	q.list(l)
}

// Accepted says that what the request began has been taken up, or need not be any more.
func (q *fairQueue) Accepted(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[r.Tenant]; l != nil {
		l.window.accept(r, q.options.clock.Now(), &q.speed)
		q.list(l)
	}
}

// reopenLater comes back to a lane whose window is full.
func (q *fairQueue) reopenLater(l *lane) {
	if l.window.reopen != nil || !l.window.full() || len(l.begin) == 0 || q.closed {
		return
	}
	next := l.window.expire(q.options.clock.Now())
	if !l.window.full() {
		q.list(l)
		return
	}
	l.window.reopen = q.options.clock.AfterFunc(next, func() { go q.reopened(l) })
}

func (q *fairQueue) reopened(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.window.reopen = nil
	l.window.expire(q.options.clock.Now())
	q.list(l)
}

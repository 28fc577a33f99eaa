// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"k8s.io/utils/clock"
)

// unplacedTTL bounds how long something that was begun counts: a scheduler of the
// super cluster that does not work must not stop a tenant for good.
const unplacedTTL = 5 * time.Second

// window bounds how much of one lane is begun and not yet placed. The super
// cluster's scheduler takes pods in the order in which they come: without a
// bound one tenant's thousand would stand before another's first. It belongs to
// a lane and is guarded by the queue's lock.
type window struct {
	limit  int // 0: no bound
	begun  map[request]*begun
	reopen clock.Timer
}

// begun is a request that takes a place in the window: while a worker has it,
// and if it has started something then until that is placed.
type begun struct {
	at              time.Time
	started, placed bool
}

// full reports whether nothing more may begin.
func (w *window) full() bool { return w.limit > 0 && len(w.begun) >= w.limit }

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

// place gives the place of r back, now or when its worker is done with it.
func (w *window) place(r request) {
	if b := w.begun[r]; b != nil {
		b.placed = true
		w.settle(r)
	}
}

func (w *window) settle(r request) {
	if b := w.begun[r]; b.started && b.placed {
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
		left := b.at.Add(unplacedTTL).Sub(now)
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
// for a place.
func (q *fairQueue) Started(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lane(r)
	l.window.start(r)
	q.list(l)
}

// Placed says that what the request began has its place, or needs none any more.
func (q *fairQueue) Placed(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lanes[r.Tenant]; l != nil {
		l.window.place(r)
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

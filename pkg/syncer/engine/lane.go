// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"container/heap"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

const (
	// wholeStride is the distance between two turns of a lane of weight 1. A
	// lane of weight w has its turns w times as close together.
	wholeStride = 1 << 20
	// retryInterval is the time between two retries of one tenant and kind, after
	// retryBurst at once: thousands of objects that always fail cost no more than
	// a few requests in a second, in all.
	retryInterval = 200 * time.Millisecond
	retryBurst    = 50
	// retryRefund is how many retries one that succeeds sets free: when the cause
	// of many failures is gone, the others follow twice as fast each time.
	retryRefund = 2
)

// lane is the part of a queue that belongs to one tenant. It stays until the
// tenant is dropped, so that nobody gains by being idle for a moment.
type lane struct {
	finish, begin []request
	inFlight      int
	weight        int
	// turn is when the lane is served next, in a time that goes on by serving:
	// stride scheduling. The lane with the lowest turn is first.
	turn uint64
	// order among lanes of the same turn; place in the heap, or -1.
	order   uint64
	place   int
	dropped bool

	pacer       *rate.Limiter // nil: nothing is held back
	pausedUntil time.Time
	resume      clock.Timer

	window   window
	late     []request // items whose back-off is over
	tokens   int       // retries to spare
	refilled time.Time
	refill   clock.Timer
}

func (l *lane) stride() uint64 { return wholeStride / uint64(l.weight) } //nolint:gosec // at least 1.

func (q *fairQueue) lane(r request) *lane { return q.laneOf(r.Tenant) }

func (q *fairQueue) laneOf(tenant string) *lane {
	l := q.lanes[tenant]
	if l == nil {
		l = &lane{
			weight: 1, place: -1, tokens: retryBurst, refilled: q.options.clock.Now(),
		}
		if q.options.bounded {
			l.window.limit = firstUnaccepted
		}
		if q.options.pace > 0 {
			l.pacer = rate.NewLimiter(rate.Limit(q.options.pace), q.options.paceBurst)
		}
		q.lanes[tenant] = l
	}
	return l
}

// SetWeight lets a tenant be served weight times as often as one of weight 1
// while both have work. Weights below 1 count as 1.
func (q *fairQueue) SetWeight(tenant string, weight int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.laneOf(tenant).weight = min(max(weight, 1), wholeStride)
}

// Pause serves nothing of a tenant for d. Its requests stay.
func (q *fairQueue) Pause(tenant string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pause(q.laneOf(tenant), d)
}

// Wrote says that the request, which a worker has, came to a write. A lane that has
// written as often as its pace allows is paused, if there is something better to do
// for its tenant. What only looks, as all do after a start, is not held back.
func (q *fairQueue) Wrote(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[r.Tenant]
	if l == nil || l.pacer == nil || !q.options.busy(r.Tenant) {
		return
	}
	now := q.options.clock.Now()
	if d := l.pacer.ReserveN(now, 1).DelayFrom(now); d > 0 {
		q.pause(l, d)
	}
}

// Busy reports whether anything of a tenant is worked on, or waits.
func (q *fairQueue) Busy(tenant string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lanes[tenant]
	return l != nil && (l.inFlight > 0 || len(l.finish) > 0 || len(l.begin) > 0 || len(l.window.begun) > 0)
}

func (q *fairQueue) pause(l *lane, d time.Duration) {
	now := q.options.clock.Now()
	until := now.Add(d)
	if q.closed || !until.After(l.pausedUntil) {
		return
	}
	l.pausedUntil = until
	q.unlist(l)
	if l.resume != nil {
		l.resume.Stop()
	}
	l.resume = q.options.clock.AfterFunc(d, func() { go q.resume(l) })
}

func (q *fairQueue) resume(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list(l)
}

// Defer takes r, which a worker holds, as not served: it is queued again with
// the time at which it was added.
func (q *fairQueue) Defer(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.items[r]; it != nil && it.running {
		it.again = true
	}
}

// list puts a lane in line if it has work and its tenant may have another worker.
func (q *fairQueue) list(l *lane) {
	q.reopenLater(l)
	if l.place >= 0 || l.empty() || l.inFlight >= q.options.maxInFlight || q.closed ||
		q.options.clock.Now().Before(l.pausedUntil) {
		return
	}
	// A lane that had nothing to do has saved nothing up.
	l.turn = max(l.turn, q.now)
	q.turns++
	l.order = q.turns
	heap.Push(&q.ready, l)
	q.nonEmpty.Signal()
}

func (q *fairQueue) unlist(l *lane) {
	if l.place >= 0 {
		heap.Remove(&q.ready, l.place)
	}
}

// addLate queues an item whose back-off is over, when its lane may retry.
func (q *fairQueue) addLate(r request, p priority) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[r]
	if q.closed || it == nil || it.queued || it.again {
		return
	}
	it.stopTimer()
	it.late, it.priority = true, p
	l := q.lane(r)
	l.late = append(l.late, r)
	q.releaseLate(l)
}

// recovered records that an item of the lane failed and does no longer.
func (q *fairQueue) recovered(l *lane) {
	l.tokens = min(l.tokens+retryRefund, retryBurst)
	q.releaseLate(l)
}

// releaseLate queues as many late items as the lane may retry now, and comes
// back for the others.
func (q *fairQueue) releaseLate(l *lane) {
	now := q.options.clock.Now()
	if earned := int(now.Sub(l.refilled) / retryInterval); earned > 0 {
		l.tokens = min(l.tokens+earned, retryBurst)
		l.refilled = l.refilled.Add(time.Duration(earned) * retryInterval)
	}
	for len(l.late) > 0 && l.tokens > 0 {
		r := l.late[0]
		l.late = l.late[1:]
		if it := q.items[r]; it != nil && it.late {
			l.tokens--
			q.add(r, it.priority)
		}
	}
	if len(l.late) == 0 || l.refill != nil || q.closed {
		return
	}
	l.refill = q.options.clock.AfterFunc(l.refilled.Add(retryInterval).Sub(now), func() { go q.refilled(l) })
}

func (q *fairQueue) refilled(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.refill = nil
	q.releaseLate(l)
}

func (l *lane) push(r request, p priority) {
	if p == finish {
		l.finish = append(l.finish, r)
		return
	}
	l.begin = append(l.begin, r)
}

// empty reports whether nothing of the lane may be served.
func (l *lane) empty() bool { return len(l.finish) == 0 && (len(l.begin) == 0 || l.window.full()) }

// clear forgets the requests of a tenant that is dropped.
func (l *lane) clear() {
	l.stopTimers()
	l.finish, l.begin, l.late = nil, nil, nil
	l.pausedUntil, l.dropped, l.window.begun = time.Time{}, true, nil
}

func (l *lane) stopTimers() {
	for _, timer := range []*clock.Timer{&l.resume, &l.refill, &l.window.reopen} {
		if *timer != nil {
			(*timer).Stop()
			*timer = nil
		}
	}
}

// readyLanes is a heap: the lane whose turn it is comes first.
type readyLanes []*lane

func (h readyLanes) Len() int { return len(h) }

func (h readyLanes) Less(i, j int) bool {
	if h[i].turn != h[j].turn {
		return h[i].turn < h[j].turn
	}
	return h[i].order < h[j].order
}

func (h readyLanes) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements heap.Interface.
func (h *readyLanes) Push(x any) {
	l := x.(*lane)
	l.place = len(*h)
	*h = append(*h, l)
}

// Pop implements heap.Interface.
func (h *readyLanes) Pop() any {
	old := *h
	l := old[len(old)-1]
	l.place = -1
	*h = old[:len(old)-1]
	return l
}

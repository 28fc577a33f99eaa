// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"container/heap"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// request names a tenant's object, whether or not it exists.
type request struct {
	// Tenant is the tenant id.
	Tenant string
	types.NamespacedName
}

// priority orders the requests of one tenant.
type priority bool

const (
	// begin is for new objects.
	begin priority = false
	// finish is for everything that has begun; it goes first.
	finish priority = true
)

// queueOptions configure a fairQueue. All are required.
type queueOptions struct {
	clock clock.WithDelayedExecution
	// maxInFlight is how many requests of one tenant may be worked on at once.
	maxInFlight int
	// bounded says that little of one tenant may be begun and not accepted yet; see
	// window.
	bounded bool
	// pace is how much of one tenant may be written in a second while busy says that
	// there is something better to do for it, once paceBurst is used up; 0 means that
	// nothing is held back.
	pace, paceBurst int
	busy            func(tenant string) bool
	// baseDelay and maxDelay bound the back-off of one item.
	baseDelay, maxDelay time.Duration
}

// manyItems is how many items make a map that is worth replacing.
const manyItems = 1024

// fairQueue is a work queue that serves tenants in turn, each as often as its
// weight says. Like client-go's it holds an item once, hands it to one worker at
// a time, and runs it again if it was added meanwhile. Retries and delays belong
// to an item: a failing item delays nobody, and a failing tenant only itself.
type fairQueue struct {
	options queueOptions

	mu       sync.Mutex
	nonEmpty *sync.Cond
	items    map[request]*item
	most     int // items at once since the map was made
	lanes    map[string]*lane
	speed    speed
	ready    readyLanes // lanes that may be served
	turns    uint64     // lanes that were ever listed: the order among equals
	now      uint64     // the turn of the lane that was served last; see lane.turn
	closed   bool
}

type item struct {
	queued, running, again bool
	priority               priority
	added                  time.Time
	failures               int
	timer                  clock.Timer
	due                    time.Time
	// late says that its back-off is over and its lane has no retry to spare.
	late bool
}

func newFairQueue(options queueOptions) *fairQueue {
	q := &fairQueue{options: options, items: map[request]*item{}, lanes: map[string]*lane{}}
	q.nonEmpty = sync.NewCond(&q.mu)
	return q
}

// Add queues r; a higher priority wins over that of an earlier Add.
func (q *fairQueue) Add(r request, p priority) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.add(r, p)
}

func (q *fairQueue) add(r request, p priority) {
	if q.closed {
		return
	}
	it := q.item(r)
	it.stopTimer()
	it.late = false
	q.lane(r).dropped = false
	switch {
	case it.running:
		if !it.again {
			it.again, it.priority, it.added = true, p, q.options.clock.Now()
		}
		it.priority = it.priority || p
	case it.queued:
		if p && !it.priority {
			it.priority = p
			q.lane(r).push(r, p) // the entry of lower priority is skipped when it is met
		}
	default:
		it.queued, it.priority, it.added = true, p, q.options.clock.Now()
		l := q.lane(r)
		l.push(r, p)
		q.list(l)
	}
}

// AddAfter queues r once d has passed, unless it is added earlier.
func (q *fairQueue) AddAfter(r request, d time.Duration) {
	q.after(r, d, q.Add)
}

// after calls then, once d has passed, with the priority that r has now.
func (q *fairQueue) after(r request, d time.Duration, then func(request, priority)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	it := q.item(r)
	if it.queued || it.again || it.late {
		return
	}
	due := q.options.clock.Now().Add(d)
	if it.timer != nil && !it.due.After(due) {
		return
	}
	it.stopTimer()
	it.due = due
	// What had begun has begun still after a delay. A clock may call back while
	// it holds its own lock, which Add needs.
	p := it.priority
	it.timer = q.options.clock.AfterFunc(d, func() { go then(r, p) })
}

// Retry queues r again after its own back-off, which doubles each time. How many
// items of one tenant are retried in a second is bounded.
func (q *fairQueue) Retry(r request) {
	q.after(r, q.backOff(r, q.options.baseDelay, q.options.maxDelay), q.addLate)
}

// Wait is Retry with a back-off of its own and without that bound, for what is
// no failure and asks nobody but caches.
func (q *fairQueue) Wait(r request, base, limit time.Duration) {
	q.after(r, q.backOff(r, base, limit), q.Add)
}

func (q *fairQueue) backOff(r request, base, limit time.Duration) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.item(r)
	delay := min(base<<min(it.failures, 20), limit)
	it.failures++
	return delay
}

// Failures returns how often r was retried since Forget.
func (q *fairQueue) Failures(r request) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.items[r]; it != nil {
		return it.failures
	}
	return 0
}

// Forget resets the back-off of r: it has come to an end.
func (q *fairQueue) Forget(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.items[r]; it != nil && it.failures > 0 {
		it.failures = 0
		q.recovered(q.lane(r))
	}
}

// Get blocks until there is work and returns it with the time it was added.
// ok is false when the queue is closed. Every Get needs a Done.
func (q *fairQueue) Get() (r request, added time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		for len(q.ready) == 0 && !q.closed {
			q.nonEmpty.Wait()
		}
		if q.closed {
			return request{}, time.Time{}, false
		}
		l := heap.Pop(&q.ready).(*lane)
		r, found := q.pop(l)
		if !found {
			q.reopenLater(l)
			continue
		}
		it := q.items[r]
		it.queued, it.running = false, true
		l.inFlight++
		q.now = l.turn
		l.turn += l.stride()
		q.list(l) // for its next turn
		return r, it.added, true
	}
}

// pop takes the next request that is still wanted from a lane.
func (q *fairQueue) pop(l *lane) (request, bool) {
	for _, entries := range []*[]request{&l.finish, &l.begin} {
		for len(*entries) > 0 && (entries == &l.finish || !l.window.full()) {
			r := (*entries)[0]
			if *entries = (*entries)[1:]; len(*entries) == 0 {
				*entries = nil // what a burst took is given back
			}
			if it := q.items[r]; it != nil && it.queued {
				if entries == &l.begin {
					l.window.enter(r, q.options.clock.Now())
				}
				return r, true
			}
		}
	}
	return request{}, false
}

// Done ends the work on r.
func (q *fairQueue) Done(r request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[r]
	if it == nil || !it.running {
		return // dropped meanwhile
	}
	it.running = false
	l := q.lane(r)
	l.inFlight--
	l.window.leave(r)
	if it.again {
		it.again, it.queued = false, true
		l.push(r, it.priority)
	}
	q.list(l)
	if !it.queued && !it.late && it.timer == nil && it.failures == 0 {
		q.clear(r)
	}
	if l.dropped && l.inFlight == 0 {
		delete(q.lanes, r.Tenant)
	}
}

// clear forgets an item. A map keeps the room that it has once had: one that a
// burst has filled is replaced when it is empty.
func (q *fairQueue) clear(r request) {
	delete(q.items, r)
	if q.most = max(q.most, len(q.items)); len(q.items) == 0 && q.most > manyItems {
		q.items, q.most = map[request]*item{}, 0
	}
}

// Drop forgets everything about a tenant.
func (q *fairQueue) Drop(tenant string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for r, it := range q.items {
		if r.Tenant != tenant {
			continue
		}
		it.stopTimer()
		if it.running {
			// The worker still holds it: let Done clear it away.
			it.again, it.late, it.failures = false, false, 0
			continue
		}
		delete(q.items, r)
	}
	if l := q.lanes[tenant]; l != nil {
		q.unlist(l)
		l.clear()
		if l.inFlight == 0 {
			delete(q.lanes, tenant)
		}
	}
}

// Len returns how many requests wait to be served.
func (q *fairQueue) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, it := range q.items {
		if it.queued || it.again {
			n++
		}
	}
	return n
}

// Close wakes every Get.
func (q *fairQueue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	for _, it := range q.items {
		it.stopTimer()
	}
	for _, l := range q.lanes {
		l.stopTimers()
	}
	q.nonEmpty.Broadcast()
}

func (q *fairQueue) item(r request) *item {
	it := q.items[r]
	if it == nil {
		it = &item{}
		q.items[r] = it
	}
	return it
}

func (it *item) stopTimer() {
	if it.timer != nil {
		it.timer.Stop()
		it.timer = nil
	}
}

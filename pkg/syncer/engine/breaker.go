// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
)

const (
	// fullWindow is how many requests at once make a recovered API server count as well.
	fullWindow = 32
	// crowded is how long a request waits while others find out.
	crowded = 50 * time.Millisecond
)

// breakerOptions configure a breaker.
type breakerOptions struct {
	clock clock.PassiveClock
	// threshold is how many passes in a row must meet trouble.
	threshold int
	// base doubles up to limit while trouble lasts.
	base, limit time.Duration
	// jitter spreads a delay, so that tenants do not come back together.
	jitter func(time.Duration) time.Duration
}

// breaker keeps the work of one tenant away from an API server that does not
// answer, or asks to be left alone. It opens after several failures in a row;
// after a pause one pass tries, and each success lets twice as many follow. It
// is safe for concurrent use.
type breaker struct {
	options breakerOptions

	mu       sync.Mutex
	failures int
	delay    time.Duration
	until    time.Time
	window   int // how many passes at once; zero is any number: closed
	inside   int
}

func newBreaker(options breakerOptions) *breaker { return &breaker{options: options} }

// Enter admits a pass, which must Leave, or says how long to wait.
func (b *breaker) Enter() (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := b.until.Sub(b.options.clock.Now()); left > 0 {
		return left
	}
	if b.window > 0 && b.inside >= b.window {
		return crowded
	}
	b.inside++
	return 0
}

// Leave ends a pass that Enter admitted.
func (b *breaker) Leave(o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inside--
	now := b.options.clock.Now()
	open := now.Before(b.until)
	switch {
	case o.trouble:
		b.failures++
		if open {
			b.until = later(b.until, now.Add(o.retryAfter))
		} else if b.window > 0 || b.failures >= b.options.threshold || o.retryAfter > 0 {
			b.open(now, o.retryAfter)
		}
	case o.answered && !open:
		b.failures = 0
		if b.window *= 2; b.window >= fullWindow {
			b.window, b.delay = 0, 0
		}
	}
}

func (b *breaker) open(now time.Time, retryAfter time.Duration) {
	b.delay = min(max(2*b.delay, b.options.base), b.options.limit)
	b.until = later(now.Add(b.options.jitter(b.delay)), now.Add(retryAfter))
	b.window = 1
}

// State is closed, open or half-open.
func (b *breaker) State() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.window == 0:
		return "closed"
	case b.options.clock.Now().Before(b.until):
		return "open"
	default:
		return "half-open"
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// outcome is what a pass learned about one API server.
type outcome struct {
	// answered: the API server said something, be it that it refuses.
	answered bool
	// trouble: it did not answer, or has no time.
	trouble bool
	// retryAfter is how long it wants to be left alone.
	retryAfter time.Duration
}

// add takes the result of one more request. Trouble stays trouble: a pass that
// was answered once and then not has cost a worker its time.
func (o *outcome) add(err error) {
	switch {
	case err == nil:
		o.answered = true
	case errors.Is(err, context.Canceled), isOwnLimit(err):
	case isTrouble(err):
		o.trouble = true
		if seconds, ok := apierrors.SuggestsClientDelay(err); ok {
			o.retryAfter = max(o.retryAfter, time.Duration(seconds)*time.Second)
		}
	default:
		o.answered = true
	}
}

// isTrouble reports errors that are about an API server and not about an object.
// An API server says 500 about an object, too, when a webhook fails; 502 is said
// by what stands before API servers that are gone.
func isTrouble(err error) bool {
	if apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err) || apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) {
		return true
	}
	if status := apierrors.APIStatus(nil); errors.As(err, &status) && status.Status().Code == http.StatusBadGateway {
		return true
	}
	var transport *url.Error
	return errors.As(err, &transport) || errors.Is(err, context.DeadlineExceeded)
}

// isOwnLimit reports that the client's own rate limit let nothing through in time.
func isOwnLimit(err error) bool { return strings.Contains(err.Error(), "client rate limiter") }

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

func newTestBreaker() (*breaker, *clocktesting.FakeClock) {
	clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
	return newBreaker(breakerOptions{
		clock: clock, threshold: 3, base: time.Second, limit: 8 * time.Second,
		jitter: func(d time.Duration) time.Duration { return d },
	}), clock
}

var (
	answered = outcome{answered: true}
	trouble  = outcome{trouble: true}
	quiet    = outcome{}
)

func passes(b *breaker, outcomes ...outcome) {
	for _, o := range outcomes {
		if b.Enter() == 0 {
			b.Leave(o)
		}
	}
}

func TestWhenABreakerOpens(t *testing.T) {
	cases := map[string]struct {
		outcomes []outcome
		wait     time.Duration
		state    string
	}{
		"never asked":                 {nil, 0, "closed"},
		"two failures":                {[]outcome{trouble, trouble}, 0, "closed"},
		"three failures":              {[]outcome{trouble, trouble, trouble}, time.Second, "open"},
		"not in a row":                {[]outcome{trouble, trouble, answered, trouble, trouble}, 0, "closed"},
		"nothing learned in between":  {[]outcome{trouble, quiet, trouble, quiet, trouble}, time.Second, "open"},
		"told to come back later":     {[]outcome{{trouble: true, retryAfter: 4 * time.Second}}, 4 * time.Second, "open"},
		"told to come back very soon": {[]outcome{{trouble: true, retryAfter: time.Millisecond}}, time.Second, "open"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b, _ := newTestBreaker()
			passes(b, tc.outcomes...)
			if state := b.State(); state != tc.state {
				t.Errorf("state %s, want %s", state, tc.state)
			}
			if wait := b.Enter(); wait != tc.wait {
				t.Errorf("wait %s, want %s", wait, tc.wait)
			}
		})
	}
}

// TestHowABreakerCloses: one pass tries, the pause doubles while it fails, and
// success lets in twice as many each time.
func TestHowABreakerCloses(t *testing.T) {
	b, clock := newTestBreaker()
	passes(b, trouble, trouble, trouble)
	var pauses []time.Duration
	for range 5 {
		wait := b.Enter()
		pauses = append(pauses, wait)
		clock.Step(wait)
		if b.Enter() != 0 || b.Enter() != crowded {
			t.Fatal("one and only one may try")
		}
		b.Leave(trouble)
	}
	want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Errorf("pauses (-want +got):\n%s", diff)
	}
	clock.Step(b.Enter())
	for most := 1; most < fullWindow; most *= 2 {
		admitted := 0
		for admitted <= fullWindow && b.Enter() == 0 {
			admitted++
		}
		if admitted != most || b.State() != "half-open" {
			t.Fatalf("%d admitted in state %s, want %d", admitted, b.State(), most)
		}
		b.Leave(answered)
		for range admitted - 1 {
			b.Leave(quiet)
		}
	}
	if b.State() != "closed" {
		t.Errorf("state %s", b.State())
	}
	passes(b, trouble, trouble, trouble)
	if wait := b.Enter(); wait != time.Second {
		t.Errorf("the next pause begins with %s", wait)
	}
}

// TestLateFailuresDoNotCountTwice: passes that were under way when it opened.
func TestLateFailuresDoNotCountTwice(t *testing.T) {
	b, clock := newTestBreaker()
	for range 10 {
		b.Enter()
	}
	for range 9 {
		b.Leave(trouble)
	}
	b.Leave(answered)
	if wait := b.Enter(); wait != time.Second || b.State() != "open" {
		t.Errorf("wait %s in state %s", wait, b.State())
	}
	clock.Step(time.Second)
	if b.Enter() != 0 || b.Enter() != crowded {
		t.Error("an answer to what was asked before it opened lets more than one try")
	}
}

func TestWhatIsTrouble(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	cases := map[string]struct {
		err  error
		want outcome
	}{
		"none":               {nil, answered},
		"not found":          {apierrors.NewNotFound(pods, "a"), answered},
		"refused by content": {apierrors.NewForbidden(pods, "a", nil), answered},
		"a webhook failed":   {apierrors.NewInternalError(errors.New("failed calling webhook")), answered},
		"no connection":      {fmt.Errorf("writing: %w", &url.Error{Op: "Post", Err: errors.New("connection refused")}), trouble},
		"no answer in time":  {fmt.Errorf("writing: %w", context.DeadlineExceeded), trouble},
		"the tenant is gone": {&url.Error{Op: "Post", Err: context.Canceled}, quiet},
		"our own rate limit": {errors.New("client rate limiter Wait returned an error: context deadline exceeded"), quiet},
		"too many requests":  {apierrors.NewTooManyRequests("later", 7), outcome{trouble: true, retryAfter: 7 * time.Second}},
		"nothing behind it":  {fmt.Errorf("writing: %w", apierrors.NewGenericServerResponse(http.StatusBadGateway, "POST", pods, "a", "", 0, true)), trouble},
		"unavailable":        {apierrors.NewServiceUnavailable("starting"), trouble},
		"server timeout":     {apierrors.NewServerTimeout(pods, "create", 2), outcome{trouble: true, retryAfter: 2 * time.Second}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var o outcome
			o.add(tc.err)
			if diff := cmp.Diff(tc.want, o, cmp.AllowUnexported(outcome{})); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// roundTripper is a transport with one answer.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestThrottlingIsHandedBack: the client must not wait with a worker; a request
// that is not a pass's, such as a cache's, is left as it is.
func TestThrottlingIsHandedBack(t *testing.T) {
	next := HandBackThrottling(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"9"}}, Body: http.NoBody}, nil
	}))
	ask := func(ctx context.Context) string {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://192.0.2.1", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := next.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response.Header.Get("Retry-After")
	}
	ctx, made := withCalls(t.Context())
	if got := ask(ctx); got != "" || made[atSuper].retryAfter != 9*time.Second {
		t.Errorf("header %q, outcome %+v", got, made[atSuper])
	}
	if got := ask(t.Context()); got != "9" {
		t.Errorf("header %q for somebody else", got)
	}
}

// TestWhoIsPaused: a super cluster that has no time is asked at most twice in a
// second for a tenant; a tenant that does not answer is left alone after a few
// failures; their neighbours are served.
func TestWhoIsPaused(t *testing.T) {
	refused := &url.Error{Op: "Patch", Err: errors.New("connection refused")}
	cases := map[string]struct {
		at   party // where the error is
		err  error
		most int // requests in ten seconds
	}{
		"super has no time":          {atSuper, apierrors.NewTooManyRequests("later", 1), 11},
		"super does not answer":      {atSuper, refused, 3 + 5},
		"the tenant does not answer": {atTenant, refused, 5 + 5},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			inTenant, inSuper := newSide(tenantObjects("new")...), newSide(superObjects("new")...)
			fail := interceptor.Funcs{
				Patch: func(_ context.Context, _ client.WithWatch, _ client.Object, _ client.Patch, _ ...client.PatchOption) error {
					asked++
					return tc.err
				},
				SubResourceUpdate: func(context.Context, client.Client, string, client.Object, ...client.SubResourceUpdateOption) error {
					asked++
					return tc.err
				},
			}
			if tc.at == atTenant {
				inTenant.intercept(interceptor.Funcs{SubResourceUpdate: fail.SubResourceUpdate})
			} else {
				inSuper.intercept(interceptor.Funcs{Patch: fail.Patch})
			}
			clock := clocktesting.NewFakeClock(time.Unix(1_000_000, 0))
			e, err := New(Options{
				Super: inSuper, Kinds: []*kind.Translator{process().Translator()}, Clock: clock, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond,
				Jitter: func(d time.Duration) time.Duration { return d },
			})
			if err != nil {
				t.Fatal(err)
			}
			tn := newTenant(t.Context(), fleet.NewTenant(inTenant, "tenant-1", virtualCluster, fleet.Facts{}))
			e.equip(tn)
			tn.synced.Store(true)
			e.tenants["tenant-1"] = tn
			c := e.controllers[0]
			c.queue.Add(req("tenant-1", "web").in("shop"), begin)
			for range 1000 { // ten seconds
				for c.queue.readyLen() > 0 {
					r, added, _ := c.queue.Get()
					c.serve(t.Context(), r, added)
					c.queue.Done(r)
				}
				clock.Step(10 * time.Millisecond)
				settleTimers(t, c.queue)
				settlePause(t, c.queue)
			}
			if asked > tc.most || asked < 3 {
				t.Errorf("asked %d times in ten seconds, want at most %d", asked, tc.most)
			}
			c.queue.Add(req("tenant-2", "web"), begin)
			if c.queue.readyLen() == 0 {
				t.Error("the neighbour is paused")
			}
		})
	}
}

func (q *fairQueue) readyLen() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ready)
}

// settlePause waits until lanes whose pause is over are in line.
func settlePause(t *testing.T, q *fairQueue) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	ticker := time.NewTicker(100 * time.Microsecond)
	defer ticker.Stop()
	for {
		q.mu.Lock()
		pending := 0
		for _, l := range q.lanes {
			if !l.empty() && l.place < 0 && l.inFlight == 0 && !q.options.clock.Now().Before(l.pausedUntil) {
				pending++
			}
		}
		q.mu.Unlock()
		if pending == 0 {
			return
		}
		select {
		case <-deadline.C:
			t.Fatal("a pause did not end")
		case <-ticker.C:
		}
	}
}

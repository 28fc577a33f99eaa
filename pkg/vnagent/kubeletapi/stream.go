// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
)

// Why a stream was ended from here.
var (
	errIdle       = errors.New("idle for too long")
	errTenantGone = errors.New("the tenant is gone")
)

// streams counts the open streams of each tenant.
type streams struct {
	limit int

	mu   sync.Mutex
	open map[string]int
}

func newStreams(limit int) *streams {
	return &streams{limit: limit, open: map[string]int{}}
}

// acquire takes a place for one stream, which release gives back; ok is false if there is none.
func (s *streams) acquire(tenantID string) (release func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[tenantID] >= s.limit {
		return nil, false
	}
	s.open[tenantID]++
	return func() { s.release(tenantID) }, true
}

func (s *streams) release(tenantID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[tenantID]--; s.open[tenantID] <= 0 {
		delete(s.open, tenantID)
	}
}

// stream is one request that was found to be in order.
type stream struct {
	caller   Caller
	endpoint endpoint
	target   target
	pod      Pod
	query    url.Values
}

// serveStream lets the pod answer, within the limits, and writes the audit line.
func (h *Handler) serveStream(w http.ResponseWriter, r *http.Request, s stream) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	end := func(cause error) {
		cancel(cause)
		// Who does not read must not keep us in a write. A connection that
		// was handed over is closed by its own.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
	}
	go func() {
		select {
		case <-s.caller.Gone:
			end(errTenantGone)
		case <-ctx.Done():
		}
	}()
	idle := newIdleTimer(h.options.Clock, h.options.Limits.IdleTimeout, func() { end(errIdle) })
	defer idle.stop()
	metered := &meter{ResponseWriter: w, ctx: ctx, touch: idle.touch}
	started := h.options.Clock.Now()
	h.options.Metrics.opened(s.endpoint.name)
	// Deferred: the proxy panics to abort a response whose backend broke off.
	defer func() {
		h.options.Metrics.closed(s.endpoint.name, metered.code())
		h.audit(r, s, metered, h.options.Clock.Since(started), context.Cause(ctx))
	}()
	s.pod.ServeStream(metered, r.WithContext(ctx), s.endpoint.subresource, s.query)
}

// idleTimer calls a function once nothing has touched it for its timeout. It is
// safe for concurrent use.
type idleTimer struct {
	timeout time.Duration

	mu      sync.Mutex
	timer   clock.Timer
	stopped bool
}

func newIdleTimer(clk clock.WithDelayedExecution, timeout time.Duration, idle func()) *idleTimer {
	return &idleTimer{timeout: timeout, timer: clk.AfterFunc(timeout, idle)}
}

func (t *idleTimer) touch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopped {
		t.timer.Reset(t.timeout)
	}
}

// stop ends the timer for good: one half of a connection may still be used
// when the stream is over, and a timer started by that would hold on to
// everything of the stream until it fires, hours later.
func (t *idleTimer) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	t.timer.Stop()
}

// auditID is the form of the identifier by which the tenant's API server knows
// a request; anything else in the header is not repeated in a log.
var auditID = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

func (h *Handler) audit(r *http.Request, s stream, m *meter, duration time.Duration, ended error) {
	line := []any{
		"tenant", s.caller.Tenant.ID,
		"endpoint", s.endpoint.name,
		"namespace", s.target.namespace, "pod", s.target.pod, "container", s.target.container,
		"superPodUID", string(s.pod.UID()),
		"code", m.code(),
		"bytesIn", m.in.Load(), "bytesOut", m.out.Load(),
		"duration", duration.String(),
	}
	if id := r.Header.Get("Audit-Id"); auditID.MatchString(id) {
		line = append(line, "tenantAuditID", id)
	}
	if ended != nil {
		line = append(line, "ended", ended.Error())
	}
	h.options.Audit.Info("stream ended", line...)
}

// meter counts what a stream carries and notes that it is in use.
type meter struct {
	http.ResponseWriter
	ctx   context.Context //nolint:containedctx // the stream's own, whose end closes a hijacked connection
	touch func()

	in, out atomic.Int64
	status  atomic.Int64
}

var (
	_ http.Hijacker                   = &meter{}
	_ interface{ FlushError() error } = &meter{}
)

// WriteHeader notes the status. Informational ones are not the answer yet.
func (m *meter) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols || status >= http.StatusOK {
		m.status.CompareAndSwap(0, int64(status))
	}
	m.ResponseWriter.WriteHeader(status)
}

// Write counts.
func (m *meter) Write(p []byte) (int, error) {
	m.status.CompareAndSwap(0, http.StatusOK)
	n, err := m.ResponseWriter.Write(p)
	m.moved(&m.out, n)
	return n, err
}

// FlushError sends what was written so far.
func (m *meter) FlushError() error {
	return http.NewResponseController(m.ResponseWriter).Flush()
}

// Hijack hands over the connection, metered. It is closed when the stream's
// context ends.
func (m *meter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(m.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	m.status.CompareAndSwap(0, http.StatusSwitchingProtocols)
	metered := &meteredConn{Conn: conn, from: buffered.Reader, meter: m}
	context.AfterFunc(m.ctx, func() { _ = conn.Close() })
	return metered, bufio.NewReadWriter(bufio.NewReader(metered), bufio.NewWriter(metered)), nil
}

// moved counts bytes. A call that moved none, as at the end, is not use.
func (m *meter) moved(counter *atomic.Int64, n int) {
	if n > 0 {
		counter.Add(int64(n))
		m.touch()
	}
}

// code is the status of the answer, 0 if there was none.
func (m *meter) code() int { return int(m.status.Load()) }

// meteredConn is a connection after an upgrade. It has no CloseWrite: the
// protocols in it close their own streams, so the end of one direction is the
// end of the connection.
type meteredConn struct {
	net.Conn
	from  *bufio.Reader // holds what was read before the upgrade
	meter *meter
}

// Read counts.
func (c *meteredConn) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.meter.moved(&c.meter.in, n)
	return n, err
}

// Write counts.
func (c *meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.meter.moved(&c.meter.out, n)
	return n, err
}

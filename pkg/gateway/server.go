// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

const (
	// alertTimeout is how long a client that is refused may take to accept seven bytes.
	alertTimeout = time.Second
	// keepAliveProbes is how often an end that is silent is asked in vain.
	keepAliveProbes = 3
	// acceptPause is how long no connection is accepted after the machine has
	// refused one, mostly because there are too many open files.
	acceptPause = 100 * time.Millisecond
)

// Options of a Server. All durations must be positive.
type Options struct {
	// Address is host:port to listen on.
	Address string
	// Connections is how many connections may be open, HandshakesPerSource how
	// many of one source may not have said yet where they want to go.
	Connections, HandshakesPerSource int
	// Handshake, Dial, KeepAlive, ShutdownDelay and Drain are as in GatewayTimeouts.
	Handshake, Dial, KeepAlive, ShutdownDelay, Drain time.Duration
	// Synced ends its wait with true once the routes are complete, and with
	// false when ctx ends. Nothing is accepted before.
	Synced func(ctx context.Context) bool
	// Routes say where names lead.
	Routes *Routes
	// Metrics count what is refused.
	Metrics *Metrics
	// Clock tells the time of shutdown and of deadlines.
	Clock clock.Clock
}

// Server accepts connections and leads them to tenants. Create it with
// NewServer, and start it once.
type Server struct {
	options Options
	buffers *buffers
	serving atomic.Bool

	open     atomic.Int64
	mutex    sync.Mutex
	sources  map[netip.Prefix]int // handshakes under way; who has none is not in it
	sessions sync.WaitGroup
}

var (
	_ manager.Runnable               = &Server{}
	_ manager.LeaderElectionRunnable = &Server{}
)

// NewServer returns a server that has not started.
func NewServer(options Options) *Server {
	return &Server{options: options, buffers: newBuffers(), sources: map[netip.Prefix]int{}}
}

// NeedLeaderElection says that every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Ready is a healthz.Checker: it fails until connections are accepted and from
// the order to stop on.
func (s *Server) Ready(*http.Request) error {
	if !s.serving.Load() {
		return errors.New("no connections are wanted")
	}
	return nil
}

// Start listens, and serves until ctx ends: see Serve.
func (s *Server) Start(ctx context.Context) error {
	if !s.options.Synced(ctx) {
		return nil
	}
	listener, err := (&net.ListenConfig{KeepAliveConfig: s.keepAlive()}).Listen(ctx, "tcp", s.options.Address)
	if err != nil {
		return fmt.Errorf("listening for clients: %w", err)
	}
	return s.Serve(ctx, listener)
}

func (s *Server) keepAlive() net.KeepAliveConfig {
	period := s.options.KeepAlive
	return net.KeepAliveConfig{Enable: true, Idle: period, Interval: period, Count: keepAliveProbes}
}

// Serve accepts connections from listener until ctx ends. Then it fails
// readiness, goes on for ShutdownDelay, closes the listener, and lets open
// connections go on for Drain before it closes them. It returns when all are closed.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	// Sessions outlive ctx: they are drained.
	base, endAll := context.WithCancel(context.WithoutCancel(ctx))
	defer endAll()
	accepted := make(chan error, 1)
	go func() { accepted <- s.accept(base, listener) }()
	s.serving.Store(true)
	defer s.serving.Store(false)
	log.FromContext(ctx).Info("Serving", "address", listener.Addr().String())
	select {
	case err := <-accepted:
		endAll()
		s.sessions.Wait()
		return err
	case <-ctx.Done():
	}
	s.serving.Store(false)
	s.wait(nil, s.options.ShutdownDelay)
	if err := listener.Close(); err != nil {
		return fmt.Errorf("closing the listener: %w", err)
	}
	err := <-accepted
	drained := make(chan struct{})
	go func() { s.sessions.Wait(); close(drained) }()
	s.wait(drained, s.options.Drain)
	endAll()
	<-drained
	return err
}

// wait waits until done is closed, but not longer than the time given.
func (s *Server) wait(done <-chan struct{}, longest time.Duration) {
	timer := s.options.Clock.NewTimer(longest)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C():
	}
}

// accept starts a session for each connection until the listener is closed.
func (s *Server) accept(ctx context.Context, listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			log.FromContext(ctx).Error(err, "Accepting a connection failed")
			s.wait(ctx.Done(), acceptPause)
			continue
		}
		client, ok := conn.(*net.TCPConn)
		if !ok {
			hangUp(conn)
			return fmt.Errorf("accepted a %T: only TCP is served", conn)
		}
		if s.open.Add(1) > int64(s.options.Connections) {
			s.open.Add(-1)
			s.options.Metrics.refuse(reasonTotalLimit)
			hangUp(client)
			continue
		}
		s.sessions.Go(func() {
			defer s.open.Add(-1)
			defer hangUp(client)
			s.serve(ctx, client)
		})
	}
}

// serve leads one client to its tenant, and returns when that has ended.
func (s *Server) serve(ctx context.Context, client *net.TCPConn) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	// However far it has come: what must end, ends now.
	defer context.AfterFunc(ctx, func() { hangUp(client) })()
	name, hello, why := s.greet(client)
	if why != "" {
		s.refuse(client, why)
		return
	}
	entered, why := s.options.Routes.enter(name, end)
	if why != "" {
		s.refuse(client, why)
		return
	}
	defer s.options.Routes.leave(entered)
	backend, err := s.dial(ctx, entered.tenant.backend, hello)
	if err != nil {
		log.FromContext(ctx).V(1).Info("Cannot reach a tenant", "tenant", entered.tenant.tenant, "error", err.Error())
		s.refuse(client, reasonUnreachable)
		return
	}
	defer context.AfterFunc(ctx, func() { hangUp(backend) })()
	metrics := entered.tenant.metrics
	metrics.connections.Inc()
	metrics.fromClients.Add(float64(len(hello)))
	s.buffers.relay(client, backend, metrics.fromClients, metrics.fromTenants)
}

// greet reads where a client wants to go, within the limits of its source. The
// client's deadline is lifted afterwards.
func (s *Server) greet(client *net.TCPConn) (name string, hello []byte, why reason) {
	source := sourceOf(client.RemoteAddr())
	if !s.begin(source) {
		return "", nil, reasonSourceLimit
	}
	defer s.done(source)
	if err := client.SetReadDeadline(s.options.Clock.Now().Add(s.options.Handshake)); err != nil {
		return "", nil, reasonNotTLS
	}
	name, hello, err := readHello(client)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", nil, reasonTimeout
	case err != nil:
		return "", nil, reasonNotTLS
	}
	if err := client.SetReadDeadline(time.Time{}); err != nil {
		return "", nil, reasonNotTLS
	}
	return name, hello, ""
}

// sourceOf returns whose handshakes are counted together: an IPv4 address, or
// the /64 of an IPv6 address, which is what one host may choose from.
func sourceOf(address net.Addr) netip.Prefix {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	const network = 64
	ip := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := ip.BitLen()
	if ip.Is6() {
		bits = network
	}
	prefix, err := ip.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// begin counts a handshake, unless its source has too many under way.
func (s *Server) begin(source netip.Prefix) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.sources[source] >= s.options.HandshakesPerSource {
		return false
	}
	s.sources[source]++
	s.options.Metrics.handshakes.WithLabelValues().Inc()
	return true
}

func (s *Server) done(source netip.Prefix) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.options.Metrics.handshakes.WithLabelValues().Dec()
	if s.sources[source]--; s.sources[source] == 0 {
		delete(s.sources, source)
	}
}

// refuse answers that the name is not known, whatever the reason is: the
// answer must not tell which tenants there are, nor how they are.
func (s *Server) refuse(client *net.TCPConn, why reason) {
	s.options.Metrics.refuse(why)
	if client.SetWriteDeadline(s.options.Clock.Now().Add(alertTimeout)) != nil {
		return
	}
	if _, err := client.Write(unrecognizedName()); err != nil {
		return // It is gone, which is as good.
	}
}

// dial connects to a tenant's API server and hands on what was read.
func (s *Server) dial(ctx context.Context, address string, hello []byte) (*net.TCPConn, error) {
	dialer := &net.Dialer{Timeout: s.options.Dial, KeepAliveConfig: s.keepAlive()}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	backend, ok := conn.(*net.TCPConn)
	if !ok {
		hangUp(conn)
		return nil, fmt.Errorf("dialled a %T: only TCP is served", conn)
	}
	if err := backend.SetWriteDeadline(s.options.Clock.Now().Add(s.options.Dial)); err != nil {
		hangUp(backend)
		return nil, err
	}
	if _, err := backend.Write(hello); err != nil {
		hangUp(backend)
		return nil, err
	}
	return backend, backend.SetWriteDeadline(time.Time{})
}

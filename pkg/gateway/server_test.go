// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	nameA = "a-1.vc.example.test"
	nameB = "b-2.vc.example.test"
	// patience is how long a test waits for what should come at once.
	patience = 10 * time.Second
)

// fixture is a gateway that serves on a loopback address.
type fixture struct {
	routes   *Routes
	server   *Server
	registry *prometheus.Registry
	address  string
	stop     context.CancelFunc
	// ended is closed when Serve has returned.
	ended chan struct{}
}

// start serves until the test ends, and then checks that nothing is left running.
func start(t testing.TB, change ...func(*Options)) *fixture {
	t.Helper()
	before := runtime.NumGoroutine()
	registry := prometheus.NewRegistry()
	counted, err := NewMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{routes: NewRoutes(counted, 1000), registry: registry, ended: make(chan struct{})}
	options := Options{
		Connections: 10_000, HandshakesPerSource: 1000, Handshake: patience, Dial: time.Second, KeepAlive: time.Minute,
		ShutdownDelay: time.Millisecond, Drain: time.Millisecond,
		Routes: f.routes, Metrics: counted, Clock: clock.RealClock{},
	}
	for _, apply := range change {
		apply(&options)
	}
	f.server = NewServer(options)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = listener.Addr().String()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	f.stop = stop
	go func() {
		defer close(f.ended)
		if err := f.server.Serve(ctx, listener); err != nil {
			t.Errorf("Serve: %v", err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-f.ended
		waitFor(t, "the end of every goroutine", func() error {
			if now := runtime.NumGoroutine(); now > before {
				return fmt.Errorf("%d goroutines, %d before", now, before)
			}
			return nil
		})
	})
	return f
}

// value adds up the time series of a metric that have all of the label values.
func (f *fixture) value(t testing.TB, metric string, labels ...string) float64 {
	t.Helper()
	sum := 0.0
	f.each(t, metric, func(present []string, value float64) {
		for _, label := range labels {
			if !slices.Contains(present, label) {
				return
			}
		}
		sum += value
	})
	return sum
}

// series returns how many time series a metric has.
func (f *fixture) series(t testing.TB, metric string) int {
	t.Helper()
	count := 0
	f.each(t, metric, func([]string, float64) { count++ })
	return count
}

func (f *fixture) each(t testing.TB, metric string, visit func(labels []string, value float64)) {
	t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, one := range family.GetMetric() {
			var labels []string
			for _, label := range one.GetLabel() {
				labels = append(labels, label.GetValue())
			}
			visit(labels, one.GetCounter().GetValue()+one.GetGauge().GetValue())
		}
	}
}

// waitFor waits until check returns nil.
func waitFor(t testing.TB, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ticker.C:
		case <-deadline.C:
			t.Fatalf("%s: %v", what, err)
		}
	}
}

// echo is a plain TCP server that answers with its greeting and then with what it is sent.
func echo(t testing.TB, greeting string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := conn.Write([]byte(greeting)); err == nil {
					_, _ = io.Copy(conn, conn)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func cluster(name string, uid types.UID, hostname, backend string) *tenancyv1alpha1.VirtualCluster {
	return &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: uid},
		Status:     tenancyv1alpha1.VirtualClusterStatus{ControlPlane: &tenancyv1alpha1.ControlPlaneStatus{Hostname: hostname, InternalEndpoint: backend}},
	}
}

func (f *fixture) dial(t testing.TB) *net.TCPConn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// call opens a connection that asks for a name, and returns it with what the
// server is sent by that.
func (f *fixture) call(t testing.TB, name string) (*net.TCPConn, []byte) {
	t.Helper()
	conn := f.dial(t)
	hello := clientHello(t, &tls.Config{ServerName: name, InsecureSkipVerify: name == ""}) //nolint:gosec // Nothing is verified here.
	if _, err := conn.Write(hello); err != nil {
		t.Fatal(err)
	}
	return conn, hello
}

func expect(t testing.TB, conn io.Reader, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		t.Fatalf("reading: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got %.80q, want %.80q", got, want)
	}
}

// expectEnd reads until the connection is closed, whichever way.
func expectEnd(t testing.TB, conn io.Reader) {
	t.Helper()
	_, err := io.Copy(io.Discard, conn)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Fatal("the connection stays open")
	}
}

func TestLeadsToTheTenantOfTheName(t *testing.T) {
	f := start(t)
	f.routes.OnAdd(cluster("a", "uid-a", nameA, echo(t, "I am A")), true)
	f.routes.OnAdd(cluster("b", "uid-b", nameB, echo(t, "I am B")), true)
	for name, greeting := range map[string]string{nameA: "I am A", nameB: "I am B"} {
		conn, hello := f.call(t, name)
		expect(t, conn, []byte(greeting))
		expect(t, conn, hello)
		// More than all buffers hold, both ways at the same time.
		payload := bytes.Repeat([]byte(name), 200_000)
		go func() {
			_, _ = conn.Write(payload)
			_ = conn.CloseWrite()
		}()
		expect(t, conn, payload)
		expectEnd(t, conn)
	}
	waitFor(t, "the sessions' end", func() error {
		if open := f.value(t, "vc_gateway_connections_open", "uid-a"); open != 0 {
			return fmt.Errorf("%v connections are open", open)
		}
		return nil
	})
	if got := f.value(t, "vc_gateway_connections_total", "uid-a"); got != 1 {
		t.Errorf("%v connections are counted, want 1", got)
	}
	sent := f.value(t, "vc_gateway_bytes_total", "uid-b", "client")
	received := f.value(t, "vc_gateway_bytes_total", "uid-b", "tenant")
	if sent < 200_000 || received != sent+float64(len("I am B")) {
		t.Errorf("%v bytes from the client and %v from the tenant are counted", sent, received)
	}
}

// TestHalfClose: the end of what one side sends is handed on at once, and the
// other side may go on.
func TestHalfClose(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		n, err := io.Copy(io.Discard, conn) // Until the client has ended.
		fmt.Fprintf(conn, "%d bytes, error %v", n, err)
	}()
	f := start(t)
	f.routes.OnAdd(cluster("a", "uid-a", nameA, listener.Addr().String()), true)
	conn, hello := f.call(t, nameA)
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	expect(t, conn, fmt.Appendf(nil, "%d bytes, error <nil>", len(hello)))
	expectEnd(t, conn)
}

// TestRefusalsAreAlike: whoever is not led anywhere gets the same seven bytes,
// whether there is such a tenant or not.
func TestRefusalsAreAlike(t *testing.T) {
	f := start(t)
	deleted := cluster("deleted", "uid-1", "deleted.vc.example.test", echo(t, "x"))
	f.routes.OnAdd(deleted, true)
	now := metav1.Now()
	dying := deleted.DeepCopy()
	dying.DeletionTimestamp = &now
	f.routes.OnUpdate(deleted, dying)
	external := cluster("external", "uid-2", "external.vc.example.test", echo(t, "x"))
	external.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{External: &tenancyv1alpha1.ExternalControlPlane{}}
	f.routes.OnAdd(external, true)
	f.routes.OnAdd(cluster("down", "uid-3", "down.vc.example.test", "127.0.0.1:1"), true)
	f.routes.OnAdd(cluster("one", "uid-4", "both.vc.example.test", echo(t, "x")), true)
	f.routes.OnAdd(cluster("other", "uid-5", "both.vc.example.test", echo(t, "x")), true)
	f.routes.OnAdd(cluster("homeless", "uid-6", "homeless.vc.example.test", ""), true)
	cases := map[string]struct {
		name string
		want reason
	}{
		"no name":         {"", reasonNoName},
		"never heard of":  {"guess.vc.example.test", reasonUnknownName},
		"being deleted":   {"deleted.vc.example.test", reasonUnknownName},
		"run elsewhere":   {"external.vc.example.test", reasonUnknownName},
		"of two tenants":  {"both.vc.example.test", reasonUnknownName},
		"without address": {"homeless.vc.example.test", reasonUnknownName},
		"down":            {"down.vc.example.test", reasonUnreachable},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := f.value(t, "vc_gateway_refused_total", string(tc.want))
			conn, _ := f.call(t, tc.name)
			answer, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(answer, []byte{21, 3, 3, 0, 2, 2, 112}) {
				t.Errorf("got %v (%v), want the alert unrecognized_name", answer, err)
			}
			if got := f.value(t, "vc_gateway_refused_total", string(tc.want)); got != before+1 {
				t.Errorf("%v refusals with reason %s, want %v", got, tc.want, before+1)
			}
		})
	}
	_, err := (&tls.Dialer{Config: &tls.Config{ServerName: "guess.vc.example.test"}}).DialContext(t.Context(), "tcp", f.address)
	if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("a real client understands %v", err)
	}
}

// TestRemovalEndsSessions: who is connected to a tenant that goes or moves is
// cut off, and nobody else.
func TestRemovalEndsSessions(t *testing.T) {
	f := start(t)
	a, b := cluster("a", "uid-a", nameA, echo(t, "A")), cluster("b", "uid-b", nameB, echo(t, "B"))
	f.routes.OnAdd(a, true)
	f.routes.OnAdd(b, true)
	stays, hello := f.call(t, nameB)
	expect(t, stays, append([]byte("B"), hello...))
	now := metav1.Now()
	dying, moved, hidden, namesake := a.DeepCopy(), a.DeepCopy(), a.DeepCopy(), a.DeepCopy()
	dying.DeletionTimestamp = &now
	moved.Status.ControlPlane.InternalEndpoint = echo(t, "A")
	hidden.Status.ControlPlane.Hostname = ""
	namesake.UID = "uid-c"
	cases := map[string]func(){
		"deleted":  func() { f.routes.OnUpdate(a, dying) },
		"gone":     func() { f.routes.OnDelete(a) },
		"moved":    func() { f.routes.OnUpdate(a, moved) },
		"hidden":   func() { f.routes.OnUpdate(a, hidden) },
		"replaced": func() { f.routes.OnUpdate(a, namesake) },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			f.routes.OnDelete(a)
			f.routes.OnAdd(a, false)
			conn, hello := f.call(t, nameA)
			expect(t, conn, append([]byte("A"), hello...))
			f.routes.OnUpdate(a, a.DeepCopy()) // What changes nothing ends nothing.
			if _, err := conn.Write([]byte("still")); err != nil {
				t.Fatal(err)
			}
			expect(t, conn, []byte("still"))
			change()
			expectEnd(t, conn)
		})
	}
	if _, err := stays.Write([]byte("still here")); err != nil {
		t.Fatal(err)
	}
	expect(t, stays, []byte("still here"))
}

func TestLimitPerTenant(t *testing.T) {
	f := start(t)
	f.routes.perTenant = 2
	f.routes.OnAdd(cluster("a", "uid-a", nameA, echo(t, "A")), true)
	f.routes.OnAdd(cluster("b", "uid-b", nameB, echo(t, "B")), true)
	first, _ := f.call(t, nameA)
	second, _ := f.call(t, nameA)
	expect(t, first, []byte("A"))
	expect(t, second, []byte("A"))
	third, _ := f.call(t, nameA)
	expect(t, third, unrecognizedName())
	other, _ := f.call(t, nameB)
	expect(t, other, []byte("B"))
	_ = first.Close()
	waitFor(t, "a place for another", func() error {
		conn, _ := f.call(t, nameA)
		got := make([]byte, 1)
		if _, err := io.ReadFull(conn, got); err != nil {
			return err
		}
		if got[0] != 'A' {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
}

func TestLimitInTotal(t *testing.T) {
	f := start(t, func(o *Options) { o.Connections = 1 })
	f.routes.OnAdd(cluster("a", "uid-a", nameA, echo(t, "A")), true)
	first, _ := f.call(t, nameA)
	expect(t, first, []byte("A"))
	expectEnd(t, f.dial(t))
	if got := f.value(t, "vc_gateway_refused_total", string(reasonTotalLimit)); got != 1 {
		t.Errorf("%v refusals are counted, want 1", got)
	}
}

// TestSlowClients: who does not say where it wants to go takes few of the
// handshakes of its own source, for a bounded time.
func TestSlowClients(t *testing.T) {
	f := start(t, func(o *Options) { o.HandshakesPerSource, o.Handshake = 2, 300*time.Millisecond })
	f.routes.OnAdd(cluster("a", "uid-a", nameA, echo(t, "A")), true)
	silent, dripping := f.dial(t), f.dial(t)
	if _, err := dripping.Write([]byte{22, 3, 1}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "both to be waited for", func() error {
		if got := f.value(t, "vc_gateway_handshakes"); got != 2 {
			return fmt.Errorf("%v handshakes", got)
		}
		return nil
	})
	third, _ := f.call(t, nameA)
	expect(t, third, unrecognizedName())
	if got := f.value(t, "vc_gateway_refused_total", string(reasonSourceLimit)); got != 1 {
		t.Errorf("%v refusals are counted, want 1", got)
	}
	expectEnd(t, silent)
	expectEnd(t, dripping)
	if got := f.value(t, "vc_gateway_refused_total", string(reasonTimeout)); got != 2 {
		t.Errorf("%v timeouts are counted, want 2", got)
	}
	honest, hello := f.call(t, nameA)
	expect(t, honest, append([]byte("A"), hello...))
	// A connection that has been led to a tenant may be silent for longer.
	if err := honest.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := honest.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the silent connection: %v", err)
	}
	waitFor(t, "the handshakes' end", func() error {
		f.server.mutex.Lock()
		defer f.server.mutex.Unlock()
		if len(f.server.sources) != 0 {
			return fmt.Errorf("sources %v", f.server.sources)
		}
		return nil
	})
}

func TestSourceOf(t *testing.T) {
	cases := map[string]struct{ address, want string }{
		"IPv4":           {"192.0.2.1:4", "192.0.2.1/32"},
		"IPv4 in IPv6":   {"[::ffff:192.0.2.1]:4", "192.0.2.1/32"},
		"IPv6":           {"[2001:db8:1:2:3:4:5:6]:4", "2001:db8:1:2::/64"},
		"IPv6 with zone": {"[fe80::1%lo]:4", "fe80::/64"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			address, err := net.ResolveTCPAddr("tcp", tc.address)
			if err != nil {
				t.Fatal(err)
			}
			if got := sourceOf(address).String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

// TestDrain: at the order to stop readiness fails first; connections are still
// accepted for a while; open ones may go on; what is left is closed.
func TestDrain(t *testing.T) {
	f := start(t, func(o *Options) { o.ShutdownDelay, o.Drain = 400*time.Millisecond, 800*time.Millisecond })
	f.routes.OnAdd(cluster("a", "uid-a", nameA, echo(t, "A")), true)
	waitFor(t, "readiness", func() error { return f.server.Ready(nil) })
	stays, hello := f.call(t, nameA)
	expect(t, stays, append([]byte("A"), hello...))
	f.stop()
	waitFor(t, "readiness to fail", func() error {
		if f.server.Ready(nil) == nil {
			return errors.New("still ready")
		}
		return nil
	})
	late, hello := f.call(t, nameA)
	expect(t, late, append([]byte("A"), hello...))
	waitFor(t, "the listener's end", func() error {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.address)
		if err == nil {
			_ = conn.Close()
			return errors.New("still listening")
		}
		return nil
	})
	if err := stays.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := stays.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the open connection: %v", err)
	}
	if err := stays.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := stays.Write([]byte("going on")); err != nil {
		t.Fatal(err)
	}
	expect(t, stays, []byte("going on"))
	_ = late.Close()
	expectEnd(t, stays)
	<-f.ended
}

// TestDrainEndsEarly: nobody is waited for who has gone.
func TestDrainEndsEarly(t *testing.T) {
	f := start(t, func(o *Options) { o.Drain = time.Hour })
	f.routes.OnAdd(cluster("a", "uid-a", nameA, echo(t, "A")), true)
	conn, _ := f.call(t, nameA)
	expect(t, conn, []byte("A"))
	f.stop()
	_ = conn.Close()
	select {
	case <-f.ended:
	case <-time.After(patience):
		t.Error("the gateway waits although nobody is connected")
	}
}

// TestMetricsAreBounded: a tenant that goes takes its time series along, and
// those beyond the bound share theirs.
func TestMetricsAreBounded(t *testing.T) {
	f := start(t)
	for i := range maxLabels + 10 {
		id := fmt.Sprint("uid-", i)
		f.routes.OnAdd(cluster(id, types.UID(id), id+".example.test", "127.0.0.1:1"), true)
	}
	if got := f.series(t, "vc_gateway_connections_open"); got != maxLabels+1 {
		t.Errorf("%d time series, want %d", got, maxLabels+1)
	}
	for i := range maxLabels + 10 {
		f.routes.OnDelete(cluster(fmt.Sprint("uid-", i), "", "", ""))
	}
	if got := f.series(t, "vc_gateway_connections_open") + f.series(t, "vc_gateway_bytes_total"); got != 3 {
		t.Errorf("%d time series are left, want those of %q", got, otherTenants)
	}
	if f.routes.labelled != 0 || len(f.routes.byName) != 0 {
		t.Errorf("%d labels and %d names are left", f.routes.labelled, len(f.routes.byName))
	}
}

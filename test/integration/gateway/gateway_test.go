// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gateway tests vc-gateway as it is shipped: it learns of tenants from
// a real API server, with the rights that config/rbac/vc-gateway gives it, and
// leads real TLS clients to real TLS servers with an authority each.
package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/yaml"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	"virtualcluster.io/virtualcluster/pkg/gateway"
	"virtualcluster.io/virtualcluster/test/framework/await"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	patience = 30 * time.Second
	user     = "vc-gateway"
	// held keeps a VirtualCluster that is being deleted, as the syncer does.
	held = tenancyv1alpha1.FinalizerSyncer
	// connections are open at once: as many as each tenant may have, of all
	// tenants, while few more may be open in total.
	connections, perTenant, inTotal = 1000, 500, 1050
	// handshakes may be under way. All clients of the test are one source.
	handshakes = 100
)

// server is one tenant's API server, as far as a gateway knows: it says whose
// it is, and has a watch that never ends.
type server struct {
	name, hostname, address string
	roots                   *x509.CertPool
	object                  *tenancyv1alpha1.VirtualCluster
}

func startServer(t *testing.T, name string) *server {
	t.Helper()
	s := &server{name: name, hostname: name + "-x.vc.example.test", roots: x509.NewCertPool()}
	authority, err := pki.NewAuthority(name, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s.roots.AppendCertsFromPEM(authority.CertPEM())
	cert, key, err := authority.Issue(pki.Leaf{CommonName: name, DNSNames: []string{s.hostname}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/whoami", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s asked for %s", name, r.TLS.ServerName)
	})
	mux.HandleFunc("/watch", func(w http.ResponseWriter, r *http.Request) {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(w, "event of %s\n", name)
				if http.NewResponseController(w).Flush() != nil {
					return
				}
			case <-r.Context().Done():
				return
			}
		}
	})
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	httpServer := &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	go func() { _ = httpServer.Serve(listener) }() // It ends with the test.
	t.Cleanup(func() { _ = httpServer.Close() })
	return s
}

// fixture is a meta cluster with a gateway.
type fixture struct {
	client  client.Client
	address string
	stop    context.CancelFunc
	ended   chan error
}

func start(t *testing.T) *fixture {
	t.Helper()
	log.SetLogger(zap.New(zap.WriteTo(t.Output()), zap.UseDevMode(true)))
	instance := controlplanetest.Start(t, controlplanetest.Options{Role: controlplanetest.RoleSuper})
	controlplanetest.InstallCRDs(t, instance.Config)
	scheme := clientruntime.NewScheme()
	for _, add := range []func(*clientruntime.Scheme) error{clientgoscheme.AddToScheme, tenancyv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	f := &fixture{ended: make(chan error, 1)}
	var err error
	if f.client, err = client.New(instance.Config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	f.grant(t)
	f.address = freeAddress(t)
	config := &configv1alpha1.GatewayConfiguration{BindAddress: f.address}
	config.Metrics.BindAddress, config.Health.BindAddress = "0", "0"
	config.Limits.Connections, config.Limits.ConnectionsPerTenant, config.Limits.HandshakesPerSource = inTotal, perTenant, handshakes
	config.Timeouts.Handshake.Duration = patience
	config.Timeouts.ShutdownDelay.Duration, config.Timeouts.Drain.Duration = 100*time.Millisecond, 5*time.Second
	if err := configv1alpha1.Load("", config); err != nil {
		t.Fatal(err)
	}
	restricted := rest.CopyConfig(instance.Config)
	restricted.Impersonate.UserName = user
	ctx, stop := context.WithCancel(t.Context())
	f.stop = stop
	mgr, err := gateway.NewManager(ctx, restricted, config)
	if err != nil {
		t.Fatal(err)
	}
	go func() { f.ended <- mgr.Start(ctx) }()
	return f
}

// grant gives the gateway what its generated role says, and nothing else.
func (f *fixture) grant(t *testing.T) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "rbac", user, "role.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{}
	if err := yaml.Unmarshal(content, role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
	if err := errors.Join(f.client.Create(t.Context(), role), f.client.Create(t.Context(), binding)); err != nil {
		t.Fatal(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// addTenant plays vc-manager, and waits until the tenant is led to.
func (f *fixture) addTenant(t *testing.T, s *server) {
	t.Helper()
	f.publish(t, s, nil)
	eventually(t, s.name+" is led to", func() error {
		body, err := f.whoami(t, s)
		if err == nil && body != s.name+" asked for "+s.hostname {
			err = errors.New(body)
		}
		return err
	})
}

// publish makes a VirtualCluster of a server.
func (f *fixture) publish(t *testing.T, s *server, controlPlane *tenancyv1alpha1.VirtualClusterControlPlane) {
	t.Helper()
	s.object = &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: s.name, Finalizers: []string{held}},
		Spec:       tenancyv1alpha1.VirtualClusterSpec{ControlPlane: controlPlane},
	}
	if err := f.client.Create(t.Context(), s.object); err != nil {
		t.Fatal(err)
	}
	before := s.object.DeepCopy()
	s.object.Status.ControlPlane = &tenancyv1alpha1.ControlPlaneStatus{Namespace: "vcp-" + s.name, Hostname: s.hostname, InternalEndpoint: s.address}
	if err := f.client.Status().Patch(t.Context(), s.object, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// wantUnknown: a client is told that there is no such name.
func (f *fixture) wantUnknown(t *testing.T, s *server) {
	t.Helper()
	if body, err := f.whoami(t, s); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("%s answers %q, error %v", s.name, body, err)
	}
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	if err := await.Success(t.Context(), 20*time.Millisecond, patience, func(context.Context) error { return check() }); err != nil {
		t.Fatalf("%s: not within %s: %v", what, patience, err)
	}
}

// client returns an HTTP client whose every request goes through the gateway on
// a connection of its own, and that trusts one tenant's authority.
func (f *fixture) httpClient(s *server) *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: s.hostname, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", f.address)
		},
		DisableKeepAlives: true,
	}}
}

func (f *fixture) get(t *testing.T, s *server, path string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.hostname+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	return f.httpClient(s).Do(request)
}

func (f *fixture) whoami(t *testing.T, s *server) (string, error) {
	t.Helper()
	response, err := f.get(t, s, "/whoami")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// watch is an open watch; next fails the test when it has ended.
type watch struct {
	lines *bufio.Reader
}

func (f *fixture) watch(t *testing.T, s *server) *watch {
	t.Helper()
	opened := &watch{}
	// Connections that have ended a moment ago may still count.
	eventually(t, "a watch of "+s.name+" begins", func() error {
		response, err := f.get(t, s, "/watch")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		opened.lines = bufio.NewReader(response.Body)
		return nil
	})
	return opened
}

func (w *watch) next(t *testing.T, s *server) {
	t.Helper()
	line, err := w.lines.ReadString('\n')
	if err != nil || line != "event of "+s.name+"\n" {
		t.Fatalf("the watch of %s: %q, %v", s.name, line, err)
	}
}

// TestGateway runs one gateway from its start to its end.
func TestGateway(t *testing.T) {
	f := start(t)
	a, b, outside := startServer(t, "alpha"), startServer(t, "beta"), startServer(t, "outside")
	f.publish(t, outside, &tenancyv1alpha1.VirtualClusterControlPlane{External: &tenancyv1alpha1.ExternalControlPlane{
		KubeconfigSecretRef: tenancyv1alpha1.KubeconfigSecretReference{Name: "given"},
	}})
	f.addTenant(t, a)
	f.addTenant(t, b)
	// What was published before a tenant that is led to is known.
	t.Run("External", func(t *testing.T) { f.wantUnknown(t, outside) })
	t.Run("NoCrossTalk", func(t *testing.T) { f.testThousand(t, a, b) })
	t.Run("AnotherTenantsAuthority", func(t *testing.T) {
		confused := &server{name: b.name, hostname: b.hostname, roots: a.roots}
		eventually(t, "a client that trusts alpha does not trust beta", func() error {
			var unknown x509.UnknownAuthorityError
			if body, err := f.whoami(t, confused); !errors.As(err, &unknown) {
				return errors.Join(fmt.Errorf("the answer is %q", body), err)
			}
			return nil
		})
	})
	t.Run("Deletion", func(t *testing.T) { f.testDeletion(t, a, b) })
	t.Run("Silence", func(t *testing.T) { f.testSilence(t, a) })
	t.Run("Drain", func(t *testing.T) { f.testDrain(t, a) })
}

// testThousand opens a thousand connections to two tenants at once; each gets
// the answer of its own, and then no tenant gets more.
func (f *fixture) testThousand(t *testing.T, tenants ...*server) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	opened := make(chan net.Conn, connections)
	var all sync.WaitGroup
	begin := time.Now()
	// As many at once as a machine with a short backlog takes.
	slots := make(chan struct{}, handshakes)
	for i := range connections {
		s := tenants[i%len(tenants)]
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: s.roots, ServerName: s.hostname, MinVersion: tls.VersionTLS12}}).DialContext(t.Context(), "tcp", f.address)
			if err != nil {
				t.Errorf("connecting to %s: %v", s.name, err)
				return
			}
			opened <- conn
			if err := ask(conn, s); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	close(opened)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d connections open at once, each answered, after %s; clients, gateway and servers take %d KiB for each",
		len(opened), time.Since(begin).Round(time.Millisecond), (after.Sys-before.Sys)/connections>>10)
	if len(opened) != connections {
		t.Errorf("%d connections were open at once, want %d", len(opened), connections)
	}
	for _, s := range tenants {
		f.wantUnknown(t, s)
	}
	f.wantFull(t)
	for conn := range opened {
		_ = conn.Close()
	}
}

// wantFull: beyond the total a connection is closed without a word.
func (f *fixture) wantFull(t *testing.T) {
	t.Helper()
	var last net.Conn
	for range inTotal - connections + 1 {
		last = f.silent(t)
		defer last.Close()
	}
	if err := last.SetReadDeadline(time.Now().Add(patience / 2)); err != nil {
		t.Fatal(err)
	}
	if n, err := last.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("one connection more than %d: %d bytes were read, error %v", inTotal, n, err)
	}
}

// silent opens a connection that does not say where it wants to go.
func (f *fixture) silent(t *testing.T) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// testSilence: of the connections of one source that say nothing those beyond
// its limit are refused at once, and its place is free when they have gone.
func (f *fixture) testSilence(t *testing.T, s *server) {
	const more = 10
	refused := make(chan error, handshakes+more)
	var conns []net.Conn
	for range handshakes + more {
		conn := f.silent(t)
		conns = append(conns, conn)
		go func() {
			_, err := io.ReadFull(conn, make([]byte, 7)) // an alert
			refused <- err
		}()
	}
	timer := time.NewTimer(patience / 2)
	defer timer.Stop()
	for n := range more {
		select {
		case err := <-refused:
			if err != nil {
				t.Errorf("a refused connection: %v", err)
			}
		case <-timer.C:
			t.Fatalf("%d of %d connections are refused", n, more)
		}
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
	eventually(t, "another client is let in", func() error {
		_, err := f.whoami(t, s)
		return err
	})
}

// ask sends one request on an open connection and leaves it open.
func ask(conn net.Conn, s *server) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET /whoami HTTP/1.1\r\nHost: %s\r\n\r\n", s.hostname); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return fmt.Errorf("asking %s: %w", s.name, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && string(body) != s.name+" asked for "+s.hostname {
		err = fmt.Errorf("a client of %s was answered by %q", s.name, body)
	}
	return err
}

// testDeletion: the connections of a tenant that is being deleted end within
// ten seconds, new ones are refused, and another tenant notices nothing.
func (f *fixture) testDeletion(t *testing.T, stays, goes *server) {
	unrelated, dying := f.watch(t, stays), f.watch(t, goes)
	unrelated.next(t, stays)
	dying.next(t, goes)
	begin := time.Now()
	if err := f.client.Delete(t.Context(), goes.object); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := dying.lines.ReadString('\n'); err != nil {
			break
		}
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the watch goes on although its tenant is being deleted")
		}
	}
	t.Logf("connections of a tenant end %s after its deletion", time.Since(begin).Round(time.Millisecond))
	if body, err := f.whoami(t, goes); err == nil {
		t.Errorf("a tenant that is being deleted answers %q", body)
	}
	for range 5 {
		unrelated.next(t, stays)
	}
}

// testDrain: at the end of the gateway an open connection goes on, and the
// gateway ends when it does.
func (f *fixture) testDrain(t *testing.T, s *server) {
	open := f.watch(t, s)
	open.next(t, s)
	f.stop()
	eventually(t, "no more connections are accepted", func() error {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.address)
		if err == nil {
			_ = conn.Close()
			return errors.New("still listening")
		}
		return nil
	})
	open.next(t, s)
	open.next(t, s)
	select {
	case err := <-f.ended:
		if err != nil {
			t.Errorf("the gateway ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("the gateway does not end")
	}
}

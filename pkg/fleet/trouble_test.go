// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// settled waits until the state of the virtual cluster is as wanted.
func settled(t *testing.T, f *Fleet, what string, wanted func(tenant *Tenant, err error) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		tenant, err := f.State(key)
		if wanted(tenant, err) {
			return
		}
		select {
		case <-f.Changes():
		case <-deadline:
			t.Fatalf("%s: state %v, %v", what, tenant, err)
		}
	}
}

func replaceKubeconfig(t *testing.T, metaClient client.Client, content []byte) {
	t.Helper()
	var held corev1.Secret
	if err := metaClient.Get(t.Context(), client.ObjectKey{Namespace: "vcp", Name: tenancyv1alpha1.SecretSyncerKubeconfig}, &held); err != nil {
		t.Fatal(err)
	}
	before := held.DeepCopy()
	held.Data = map[string][]byte{tenancyv1alpha1.KeyKubeconfig: content}
	if err := metaClient.Patch(t.Context(), &held, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// countedReader counts what has been read.
type countedReader struct {
	client.Reader
	reads atomic.Int32
}

// Get implements client.Reader.
func (r *countedReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	defer r.reads.Add(1)
	return r.Reader.Get(ctx, key, object, opts...)
}

// wait returns when so many reads have ended.
func (r *countedReader) wait(t *testing.T, reads int32) {
	t.Helper()
	deadline := time.After(patience)
	for r.reads.Load() < reads {
		select {
		case <-deadline:
			t.Fatalf("%d reads, want %d", r.reads.Load(), reads)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestARenewedKubeconfig: the tenant is connected anew although the old
// connection works; the same kubeconfig in a changed Secret ends nothing.
func TestARenewedKubeconfig(t *testing.T) {
	old, _ := apiServer(t)
	renewed, _ := apiServer(t)
	f, metaClient, l := start(t, virtualCluster(), secret(t, old))
	secrets := &countedReader{Reader: metaClient}
	f.options.SecretReader = secrets
	handler := f.kubeconfigHandler()
	reconcileOnce(t, f)
	first := next(t, l)
	before := secret(t, old)
	touched := before.DeepCopy()
	touched.ResourceVersion = "2"
	handler.OnUpdate(before, touched)
	secrets.wait(t, 2) // to connect, and to look what has changed
	replaceKubeconfig(t, metaClient, kubeconfig(t, renewed))
	handler.OnUpdate(touched, touched) // a resync: nobody looks
	select {
	case <-first.ctx.Done():
		t.Fatal("disengaged without a reason")
	case <-time.After(50 * time.Millisecond):
	}
	changed := touched.DeepCopy()
	changed.ResourceVersion = "3"
	handler.OnUpdate(touched, changed)
	ended(t, first)
	if second := next(t, l); second.tenant.GetConfig().Host != renewed.URL {
		t.Errorf("connected to %s, want %s", second.tenant.GetConfig().Host, renewed.URL)
	}
}

// TestABadKubeconfig is told in the state, and a good one is used at once.
func TestABadKubeconfig(t *testing.T) {
	server, _ := apiServer(t)
	withExec := strings.Replace(string(kubeconfig(t, server)), "users: null",
		"users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/true, interactiveMode: Never}}}]", 1)
	withExec = strings.Replace(withExec, `user: ""`, "user: u", 1)
	cases := map[string]struct {
		content string
		want    string
	}{
		"garbage":         {"%!", "reading the kubeconfig in secret vcp/"},
		"empty":           {"", "reading the kubeconfig in secret vcp/"},
		"runs a program":  {withExec, "without exec"},
		"another's words": {"kind: Secret\napiVersion: v1\n", "reading the kubeconfig in secret vcp/"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			bad := secret(t, server)
			bad.Data[tenancyv1alpha1.KeyKubeconfig] = []byte(tc.content)
			f, metaClient, l := start(t, virtualCluster(), bad)
			reconcileOnce(t, f)
			settled(t, f, "the trouble", func(_ *Tenant, err error) bool { return err != nil && strings.Contains(err.Error(), tc.want) })
			replaceKubeconfig(t, metaClient, kubeconfig(t, server))
			f.KubeconfigChanged("vcp")
			next(t, l)
		})
	}
}

// TestRebalance: what is another replica's now is disengaged when Rebalance
// returns, after what was being done; it comes back by a look.
func TestRebalance(t *testing.T) {
	server, _ := apiServer(t)
	f, _, l := start(t, virtualCluster(), secret(t, server))
	var mine atomic.Bool
	f.options.Owns = func(string) bool { return mine.Load() }
	reconcileOnce(t, f)
	if f.Size() != 0 {
		t.Fatal("it serves a tenant of another replica")
	}
	mine.Store(true)
	reconcileOnce(t, f)
	first := next(t, l)
	done, ok := first.tenant.Use()
	if !ok {
		t.Fatal("an engaged tenant cannot be used")
	}
	done = sync.OnceFunc(done)
	defer done()
	mine.Store(false)
	rebalanced := make(chan struct{})
	go func() { f.Rebalance(); close(rebalanced) }()
	ended(t, first)
	if result, err := f.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: "other"}}); err != nil || result.RequeueAfter != 0 {
		t.Errorf("another virtual cluster waits: %+v, %v", result, err)
	}
	select {
	case <-rebalanced:
		t.Fatal("it returned while something was being done")
	case <-time.After(50 * time.Millisecond):
	}
	if _, err := f.State(key); err == nil {
		t.Error("it takes no part while something is being done: its objects could be removed")
	}
	done()
	<-rebalanced
	if tenant, err := f.State(key); tenant != nil || err != nil || f.Size() != 0 {
		t.Errorf("state %v, %v, size %d", tenant, err, f.Size())
	}
	if _, ok := first.tenant.Use(); ok {
		t.Error("a disengaged tenant can be used")
	}
	select {
	case <-f.looks:
	default:
		t.Error("nobody looks for tenants that have become this replica's")
	}
	mine.Store(true)
	reconcileOnce(t, f)
	next(t, l)
}

// TestAFlappingTenant comes and goes 30 times; nothing of it stays.
func TestAFlappingTenant(t *testing.T) {
	server, healthy := apiServer(t)
	f, _, l := start(t, virtualCluster(), secret(t, server))
	reconcileOnce(t, f)
	var baseline int
	for i := range 30 {
		e := next(t, l)
		if i == 2 {
			baseline = runtime.NumGoroutine()
		}
		healthy.Store(false)
		ended(t, e)
		settled(t, f, "the trouble", func(tenant *Tenant, err error) bool { return tenant == nil && err != nil })
		healthy.Store(true)
		f.KubeconfigChanged("vcp") // ends the back-off
	}
	next(t, l)
	deadline := time.After(patience)
	for runtime.NumGoroutine() > baseline+baseline/20+2 { // what has just ended may not have returned
		select {
		case <-deadline:
			t.Fatalf("%d goroutines, %d at first", runtime.NumGoroutine(), baseline)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// silent accepts connections and says what it is told to, which may be nothing.
func silent(t *testing.T, says string) *httptest.Server {
	t.Helper()
	// The URL and the certificate are those of a server that never answers here.
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close(); server.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_, _ = bufio.NewReader(connection).ReadString('\n')
				_, _ = io.WriteString(connection, says)
				if says == "" {
					<-t.Context().Done()
				}
			}()
		}
	}()
	server.URL = "http://" + listener.Addr().String()
	return server
}

// TestAServerThatDoesNotAnswer is noticed within 60 s with the default timing:
// each look at it takes at most ProbeTimeout.
func TestAServerThatDoesNotAnswer(t *testing.T) {
	cases := map[string]string{
		"never answers":   "",
		"closes":          "\x00",
		"half an answer":  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"kind\":\"Stat",
		"speaks nonsense": "220 mail ready\r\n",
		"says yes to all": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"kind\":\"Pod",
	}
	for name, says := range cases {
		t.Run(name, func(t *testing.T) {
			content := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n"+
				"clusters: [{name: c, cluster: {server: %q}}]\n", silent(t, says).URL)
			bad := &corev1.Secret{Data: map[string][]byte{tenancyv1alpha1.KeyKubeconfig: []byte(content)}}
			bad.Namespace, bad.Name = "vcp", tenancyv1alpha1.SecretSyncerKubeconfig
			f, _, _ := start(t, virtualCluster(), bad)
			f.options.ProbeTimeout = 100 * time.Millisecond
			reconcileOnce(t, f)
			settled(t, f, "the trouble", func(_ *Tenant, err error) bool { return err != nil && !errors.Is(err, ErrNotConnected) })
		})
	}
	var defaults Options
	defaults.setDefaults()
	if worst := time.Duration(defaults.ProbeFailures) * (defaults.ProbeInterval + defaults.ProbeTimeout); worst > time.Minute {
		t.Errorf("a tenant that hangs is noticed after %s", worst)
	}
}

// TestAConnectionThatHangs: a connected tenant whose server stops answering is disengaged.
func TestAConnectionThatHangs(t *testing.T) {
	hang, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-hang:
			<-release
		default:
			_, _ = io.WriteString(w, ready)
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(release) })
	f, _, l := start(t, virtualCluster(), secret(t, server))
	f.options.ProbeTimeout = 100 * time.Millisecond
	reconcileOnce(t, f)
	e := next(t, l)
	close(hang)
	ended(t, e)
	settled(t, f, "the trouble", func(_ *Tenant, err error) bool { return errors.Is(err, errProbe) })
}

// TestNonsense: a connected tenant whose server says 200 to everything, and
// nothing that can be read, is disengaged.
func TestNonsense(t *testing.T) {
	var nonsense atomic.Bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := ready
		if nonsense.Load() {
			answer = `{"kind":"Pod`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	f, _, l := start(t, virtualCluster(), secret(t, server))
	reconcileOnce(t, f)
	e := next(t, l)
	nonsense.Store(true)
	ended(t, e)
	settled(t, f, "the trouble", func(_ *Tenant, err error) bool { return errors.Is(err, errNonsense) })
	nonsense.Store(false)
	next(t, l)
}

// TestManyTenantsAtOnce are dialled a few at a time, spread out, and all connected soon.
func TestManyTenantsAtOnce(t *testing.T) {
	const tenants = 100
	var now, most atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, ready)
		for n := now.Add(1); ; {
			seen := most.Load()
			if n <= seen || most.CompareAndSwap(seen, n) {
				break
			}
		}
		time.AfterFunc(time.Millisecond, func() { now.Add(-1) })
	}))
	t.Cleanup(server.Close)
	objects := []client.Object{}
	for i := range tenants {
		vc, held := virtualCluster(), secret(t, server)
		vc.Name, vc.UID = fmt.Sprintf("vc-%d", i), types.UID(fmt.Sprintf("tenant-%d", i))
		vc.Status.ControlPlane.Namespace, held.Namespace = "vcp-"+vc.Name, "vcp-"+vc.Name
		objects = append(objects, vc, held)
	}
	f, _, l := start(t, objects...)
	f.options.ProbeInterval = time.Minute
	began := time.Now()
	for i := range tenants {
		if _, err := f.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Namespace: "default", Name: fmt.Sprintf("vc-%d", i)}}); err != nil {
			t.Fatal(err)
		}
	}
	var after []time.Duration
	for range tenants {
		select {
		case <-l.engaged:
			after = append(after, time.Since(began))
		case <-time.After(30 * time.Second):
			t.Fatalf("%d of %d tenants are connected", len(after), tenants)
		}
	}
	slices.Sort(after)
	t.Logf("connected: half after %s, all after %s; at most %d dials at once", after[tenants/2], after[tenants-1], most.Load())
	if after[tenants-1] > time.Minute {
		t.Errorf("all are connected after %s", after[tenants-1])
	}
	if most.Load() > int64(f.options.MaxDials) {
		t.Errorf("%d dials at once", most.Load())
	}
}

// TestFirstConnectionsAreSpread: over five seconds for a thousand, and not for one.
func TestFirstConnectionsAreSpread(t *testing.T) {
	f := New(Options{})
	add := func(n int) {
		for i := range n {
			f.members[types.NamespacedName{Name: fmt.Sprint(i)}] = &member{}
		}
	}
	add(1)
	if pause := f.firstPause(); pause != 0 {
		t.Errorf("one waits %s", pause)
	}
	add(1000)
	late := 0
	for range 1000 {
		pause := f.firstPause()
		if pause > 5*time.Second {
			t.Errorf("one waits %s", pause)
		}
		if pause > 2500*time.Millisecond {
			late++
		}
	}
	if late < 400 || late > 600 {
		t.Errorf("%d of 1000 are in the second half", late)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"encoding/pem"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// gate is an HTTP proxy between the syncer and a control plane. It counts what
// the syncer asks for, so that no write can be missed, and can be slow or
// refuse. Nobody else uses it.
type gate struct {
	server *httptest.Server

	mu     sync.Mutex
	counts map[call]int
	// inside is how many of each are being answered, most the highest of that
	// since set was called.
	inside, most map[call]int
	delay        time.Duration
	// refuse answers a request itself and says so.
	refuse func(http.ResponseWriter, *http.Request) bool
	// answered is called with what the control plane has answered, before the
	// syncer learns of it.
	answered func(*http.Response)
}

func newGate(t *testing.T, instance *controlplanetest.Instance) *gate {
	t.Helper()
	upstream, err := url.Parse(instance.Config.Host)
	must(t, err)
	transport, err := rest.TransportFor(instance.Config)
	must(t, err)
	g := &gate{counts: map[call]int{}, inside: map[call]int{}, most: map[call]int{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(upstream) },
		Transport:     transport,
		FlushInterval: -1, // watches
		ErrorLog:      log.New(io.Discard, "", 0),
		ModifyResponse: func(r *http.Response) error {
			g.mu.Lock()
			answered := g.answered
			g.mu.Unlock()
			if answered != nil {
				answered(r)
			}
			return nil
		},
	}
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer g.enter(callOf(r))()
		if !g.stops(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	g.server.Config.ErrorLog = proxy.ErrorLog
	g.server.EnableHTTP2 = true
	g.server.StartTLS()
	t.Cleanup(func() {
		g.server.CloseClientConnections()
		g.server.Close()
	})
	return g
}

// enter counts a request until leave is called.
func (g *gate) enter(c call) (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts[c]++
	g.inside[c]++
	g.most[c] = max(g.most[c], g.inside[c])
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.inside[c]--
	}
}

// mostAtOnce returns how many of these requests were being answered side by
// side, at most, since set was called.
func (g *gate) mostAtOnce(c call) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most[c]
}

// stops holds a request up, and reports whether it ends here.
func (g *gate) stops(w http.ResponseWriter, r *http.Request) bool {
	g.mu.Lock()
	delay, refuse := g.delay, g.refuse
	g.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return true
		}
	}
	return refuse != nil && refuse(w, r)
}

// set changes how the gate behaves from now on.
func (g *gate) set(delay time.Duration, refuse func(http.ResponseWriter, *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.delay, g.refuse, g.most = delay, refuse, maps.Clone(g.inside)
}

// onAnswer sets what is called with each answer from now on.
func (g *gate) onAnswer(answered func(*http.Response)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answered = answered
}

// writes returns how often each write was asked for since the gate was made.
func (g *gate) writes() map[call]int {
	g.mu.Lock()
	defer g.mu.Unlock()
	writes := maps.Clone(g.counts)
	maps.DeleteFunc(writes, func(c call, _ int) bool { return !c.isWrite() })
	return writes
}

// kubeconfig leads through the gate, at this address.
func (g *gate) kubeconfig(t *testing.T, address string) []byte {
	t.Helper()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{
		Server:                   "https://" + address,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.server.Certificate().Raw}),
	}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c"}
	config.CurrentContext = "x"
	content, err := clientcmd.Write(*config)
	must(t, err)
	return content
}

func (g *gate) address() string { return g.server.Listener.Addr().String() }

// isWrite reports a request that can change something.
func (c call) isWrite() bool {
	return slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, c.verb)
}

// callOf names what is asked for: the method, the resource and the subresource.
func callOf(r *http.Request) call {
	// /api/v1/… or /apis/group/version/…, then namespaces/x/ for what lies in one.
	segments := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	skip := 2
	if segments[0] == "apis" {
		skip = 3
	}
	if len(segments) <= skip {
		return call{verb: r.Method, resource: r.URL.Path}
	}
	segments = segments[skip:]
	if segments[0] == "namespaces" && len(segments) > 2 && segments[2] != "status" && segments[2] != "finalize" {
		segments = segments[2:]
	}
	c := call{verb: r.Method, resource: segments[0]}
	if len(segments) > 2 {
		c.subresource = segments[2]
	}
	return c
}

// growth returns what was counted between two looks.
func growth(before, after map[call]int) map[call]int {
	grown := map[call]int{}
	for c, n := range after {
		if n > before[c] {
			grown[c] = n - before[c]
		}
	}
	return grown
}

// sum adds counts up.
func sum(counts map[call]int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"

	"virtualcluster.io/virtualcluster/pkg/names"
)

// fakePod answers with what it was asked, or does what serve says.
type fakePod struct {
	serve func(w http.ResponseWriter, r *http.Request)
}

func (fakePod) UID() types.UID { return "super-uid" }

func (p fakePod) ServeStream(w http.ResponseWriter, r *http.Request, subresource string, query url.Values) {
	if p.serve != nil {
		p.serve(w, r)
		return
	}
	fmt.Fprintf(w, "%s?%s", subresource, query.Encode())
}

type fixture struct {
	handler *Handler
	clock   *clocktesting.FakeClock
	gone    chan struct{}
	audited chan string
	pod     fakePod
}

// newFixture returns a handler for one tenant, "a", with one pod, default/web.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{clock: clocktesting.NewFakeClock(time.Unix(0, 0)), gone: make(chan struct{}), audited: make(chan string, 16)}
	f.handler = NewHandler(Options{
		Authenticate: func(r *http.Request) (Caller, error) {
			if r.Header.Get("X-Test-Stranger") != "" {
				return Caller{}, errors.New("stranger")
			}
			return Caller{Tenant: names.Tenant{ID: "a", Name: "demo"}, Gone: f.gone}, nil
		},
		Find: func(_ context.Context, tenant names.Tenant, namespace, name string) (Pod, error) {
			switch {
			case tenant.ID == "a" && namespace == "default" && name == "web":
				return f.pod, nil
			case name == "trouble":
				return nil, errors.New("etcd of super-1 is down")
			}
			return nil, ErrPodNotFound
		},
		Limits:  Limits{StreamsPerTenant: 2, IdleTimeout: time.Hour},
		Clock:   f.clock,
		Audit:   funcr.New(func(_, args string) { f.audited <- args }, funcr.Options{}),
		Metrics: metrics,
	})
	return f
}

// logs asks for the log of the one pod.
func (f *fixture) logs(t *testing.T) int {
	recorder := httptest.NewRecorder()
	f.handler.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/containerLogs/default/web/c", http.NoBody))
	return recorder.Code
}

func TestHandlerAnswers(t *testing.T) {
	const log = "/containerLogs/default/web/c"
	const nowhere = "page not found"
	cases := map[string]struct {
		method, path, header string
		wantCode             int
		wantBody             string // a part of it
	}{
		"logs":                  {"GET", log + "?follow=true", "", 200, "log?container=c&follow=true"},
		"exec by POST":          {"POST", "/exec/default/web/c?command=ls&output=1", "", 200, "exec?"},
		"exec by GET":           {"GET", "/exec/default/web/c?command=ls&output=1", "", 200, "exec?"},
		"attach":                {"POST", "/attach/default/web/c?output=1", "", 200, "attach?"},
		"port-forward":          {"POST", "/portForward/default/web", "", 200, "portforward?"},
		"stranger":              {"GET", log, "X-Test-Stranger", 401, "Unauthorized"},
		"no such pod":           {"GET", "/containerLogs/default/other/c", "", 404, "pod does not exist"},
		"no such namespace":     {"GET", "/containerLogs/other/web/c", "", 404, "pod does not exist"},
		"trouble":               {"GET", "/containerLogs/default/trouble/c", "", 502, "cannot be reached"},
		"logs by POST":          {"POST", log, "", 405, ""},
		"exec by DELETE":        {"DELETE", "/exec/default/web/c?command=ls&output=1", "", 405, ""},
		"logs of a pod":         {"GET", "/containerLogs/default/web", "", 404, nowhere},
		"port-forward to more":  {"POST", "/portForward/default/web/c", "", 404, nowhere},
		"unknown parameter":     {"GET", log + "?x=1", "", 400, "not supported"},
		"malformed query":       {"GET", log + "?a;b", "", 400, "malformed"},
		"escaped dot segments":  {"GET", "/containerLogs/%2e%2e/web/c", "", 404, nowhere},
		"case of the endpoint":  {"GET", "/containerlogs/default/web/c", "", 404, nowhere},
		"run":                   {"POST", "/run/default/web/c?cmd=id", "", 404, nowhere},
		"pods":                  {"GET", "/pods", "", 404, nowhere},
		"running pods":          {"GET", "/runningpods/", "", 404, nowhere},
		"checkpoint":            {"POST", "/checkpoint/default/web/c", "", 404, nowhere},
		"configz":               {"GET", "/configz", "", 404, nowhere},
		"pprof":                 {"GET", "/debug/pprof/heap", "", 404, nowhere},
		"flagz":                 {"GET", "/flagz", "", 404, nowhere},
		"statusz":               {"GET", "/statusz", "", 404, nowhere},
		"healthz":               {"GET", "/healthz", "", 404, nowhere},
		"metrics":               {"GET", "/metrics", "", 404, nowhere},
		"cadvisor":              {"GET", "/metrics/cadvisor", "", 404, nowhere},
		"summary":               {"GET", "/stats/summary", "", 404, nowhere},
		"logs of the node":      {"GET", "/logs/", "", 404, nowhere},
		"CRI's exec":            {"GET", "/cri/exec/token", "", 404, nowhere},
		"exec with the pod UID": {"GET", "/exec/default/web/uid/c?command=ls&output=1", "", 404, nowhere},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			request := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, http.NoBody)
			if tc.header != "" {
				request.Header.Set(tc.header, "1")
			}
			recorder := httptest.NewRecorder()
			f.handler.ServeHTTP(recorder, request)
			if recorder.Code != tc.wantCode || !strings.Contains(recorder.Body.String(), tc.wantBody) {
				t.Errorf("%s %s: %d %q, want %d %q", tc.method, tc.path, recorder.Code, recorder.Body, tc.wantCode, tc.wantBody)
			}
			if strings.Contains(recorder.Body.String(), "super-1") {
				t.Errorf("the answer reveals %q", recorder.Body)
			}
		})
	}
}

// TestEndpointsAreFew pins the surface: a further endpoint is a decision.
func TestEndpointsAreFew(t *testing.T) {
	var got []string
	for _, e := range endpoints() {
		got = append(got, e.name)
	}
	if diff := cmp.Diff([]string{"containerLogs", "exec", "attach", "portForward"}, got); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
}

func TestAuditLine(t *testing.T) {
	f := newFixture(t)
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/exec/default/web/c?command=secret-argument&output=1", http.NoBody)
	request.Header.Set("Audit-Id", "0a-b")
	request.Header.Set("Authorization", "Bearer secret-token")
	f.handler.ServeHTTP(httptest.NewRecorder(), request)
	line := <-f.audited
	for _, want := range []string{`"tenant"="a"`, `"endpoint"="exec"`, `"superPodUID"="super-uid"`, `"code"=200`, `"bytesOut"=`, `"duration"=`, `"tenantAuditID"="0a-b"`} {
		if !strings.Contains(line, want) {
			t.Errorf("audit line %s has no %s", line, want)
		}
	}
	if strings.Contains(line, "secret") {
		t.Errorf("audit line tells a secret: %s", line)
	}
}

// TestStreamsEnd: the ways in which a stream ends without its ends wanting to.
func TestStreamsEnd(t *testing.T) {
	cases := map[string]struct {
		end  func(f *fixture)
		want string
	}{
		"tenant gone": {func(f *fixture) { close(f.gone) }, errTenantGone.Error()},
		"idle":        {func(f *fixture) { f.clock.Step(2 * time.Hour) }, errIdle.Error()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			serving, done := make(chan struct{}), make(chan struct{})
			f := newFixture(t)
			f.pod.serve = func(_ http.ResponseWriter, r *http.Request) {
				close(serving)
				<-r.Context().Done()
			}
			go func() {
				defer close(done)
				f.logs(t)
			}()
			<-serving
			tc.end(f)
			<-done
			if line := <-f.audited; !strings.Contains(line, tc.want) {
				t.Errorf("audit line %s, want %q", line, tc.want)
			}
		})
	}
}

// TestATimerEndsWithItsStream: what a stream's halves do after its end must not
// start the timer again, which would keep the stream in memory.
func TestATimerEndsWithItsStream(t *testing.T) {
	f := newFixture(t)
	var late http.ResponseWriter
	f.pod.serve = func(w http.ResponseWriter, _ *http.Request) { late = w }
	f.logs(t)
	if _, err := io.WriteString(late, "x"); err != nil {
		t.Error(err)
	}
	if f.clock.HasWaiters() {
		t.Error("the timer of a stream that has ended runs")
	}
}

// TestAStreamNobodyReadsEnds: a write to a client that does not read is not
// held up by the end of the tenant.
func TestAStreamNobodyReadsEnds(t *testing.T) {
	f := newFixture(t)
	serving := make(chan struct{})
	f.pod.serve = func(w http.ResponseWriter, _ *http.Request) {
		close(serving)
		for range 1 << 10 { // more than any buffer on the way holds
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
		t.Error("the client has read everything")
	}
	server := httptest.NewServer(f.handler)
	defer server.Close()
	conn, err := net.DialTimeout("tcp", server.Listener.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "GET /containerLogs/default/web/c HTTP/1.1\r\nHost: x\r\n\r\n")
	<-serving
	close(f.gone)
	select {
	case line := <-f.audited:
		if !strings.Contains(line, errTenantGone.Error()) {
			t.Errorf("audit line: %s", line)
		}
	case <-time.After(10 * time.Second):
		t.Error("the stream did not end")
	}
}

// TestUseKeepsAStream: what moves is not idle.
func TestUseKeepsAStream(t *testing.T) {
	f := newFixture(t)
	f.pod.serve = func(w http.ResponseWriter, r *http.Request) {
		for range 5 {
			f.clock.Step(40 * time.Minute)
			if _, err := io.WriteString(w, "x"); err != nil {
				t.Error(err)
			}
		}
		if r.Context().Err() != nil {
			t.Errorf("a stream in use was ended: %v", context.Cause(r.Context()))
		}
	}
	f.logs(t)
}

func TestStreamsAreLimited(t *testing.T) {
	release, serving, done := make(chan struct{}), make(chan struct{}, 4), make(chan struct{}, 2)
	f := newFixture(t)
	f.pod.serve = func(http.ResponseWriter, *http.Request) {
		serving <- struct{}{}
		<-release
	}
	for range 2 {
		go func() {
			f.logs(t)
			done <- struct{}{}
		}()
		<-serving
	}
	third := make(chan int, 1)
	go func() { third <- f.logs(t) }()
	select {
	case code := <-third:
		if code != http.StatusTooManyRequests {
			t.Errorf("stream 3 of 2: %d, want 429", code)
		}
	case <-serving:
		t.Error("stream 3 of 2 was served")
	}
	close(release)
	<-done
	<-done
	if code := f.logs(t); code != http.StatusOK {
		t.Errorf("after the others ended: %d, want 200", code)
	}
	if open := len(f.handler.streams.open); open != 0 {
		t.Errorf("%d tenants still have streams", open)
	}
}

// TestHijackedStreamEnds: an upgraded connection ends with its tenant, even if
// nobody reads or writes it, and what came with the request is not lost.
func TestHijackedStreamEnds(t *testing.T) {
	read := make(chan string, 1)
	f := newFixture(t)
	f.pod.serve = func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		line, err := buffered.ReadString('\n')
		if err != nil {
			t.Error(err)
		}
		read <- line
		if _, err := io.WriteString(conn, "over to you\n"); err != nil {
			t.Error(err)
		}
		if _, err = conn.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("reading a connection whose tenant is gone: %v, want it closed", err)
		}
	}
	server := httptest.NewServer(f.handler)
	defer server.Close()
	conn, err := net.DialTimeout("tcp", server.Listener.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /portForward/default/web HTTP/1.1\r\nHost: x\r\n\r\nearly\n")
	if line := <-read; line != "early\n" {
		t.Errorf("read %q", line)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); line != "over to you\n" {
		t.Errorf("got %q, %v", line, err)
	}
	close(f.gone)
	line := <-f.audited
	if !strings.Contains(line, `"bytesIn"=6`) || !strings.Contains(line, `"bytesOut"=12`) || !strings.Contains(line, `"code"=101`) {
		t.Errorf("audit line: %s", line)
	}
}

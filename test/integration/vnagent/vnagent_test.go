// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/utils/ptr"
)

// TestVNAgent runs everything in one environment: control planes are slow to start.
func TestVNAgent(t *testing.T) {
	e := start(t)
	t.Run("Node", e.testNode)
	t.Run("NodeTaints", e.testNodeTaints)
	t.Run("NodeCondition", e.testCondition)
	t.Run("NodeLease", e.testLease)
	t.Run("NodeRepair", e.testRepair)
	t.Run("NodeRecreated", e.testRecreated)
	e.addPod(t, "web", "main", "failing", "elsewhere")
	t.Run("Logs", e.testLogs)
	t.Run("LogErrors", e.testLogErrors)
	t.Run("Exec", e.testExec)
	t.Run("PortForward", e.testPortForward)
	t.Run("Callers", e.testCallers)
	t.Run("OtherTenant", e.testOtherTenant)
	t.Run("RotatedAuthority", e.testRotatedAuthority)
	t.Run("StalledLease", e.testStalledLease)
	t.Run("TenantDeleted", e.testDeleted)
}

func (e *environment) testLogs(t *testing.T) {
	got, err := e.tenantLogs(t, &corev1.PodLogOptions{Container: "main", TailLines: ptr.To[int64](7)})
	if err != nil {
		t.Fatal(err)
	}
	if want := "log of main tailLines=7\n"; got != want {
		t.Errorf("logs: %q, want %q", got, want)
	}
}

func (e *environment) testLogErrors(t *testing.T) {
	for _, container := range []string{"failing", "elsewhere"} {
		got, err := e.tenantLogs(t, &corev1.PodLogOptions{Container: container})
		if err == nil {
			t.Errorf("%s: logs %q, want an error", container, got)
			continue
		}
		if found := e.reveals(got + err.Error()); len(found) > 0 {
			t.Errorf("%s: the error reveals %q: %v", container, found, err)
		}
	}
}

func (e *environment) tenantLogs(t *testing.T, options *corev1.PodLogOptions) (string, error) {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(e.tenant.Config)
	if err != nil {
		t.Fatal(err)
	}
	body, err := clientset.CoreV1().Pods("default").GetLogs("web", options).DoRaw(t.Context())
	return string(body), err
}

// testExec executes by both protocols that kubectl speaks.
func (e *environment) testExec(t *testing.T) {
	location := e.subresource(t, "exec", url.Values{
		"container": {"main"}, "command": {"sh", "-c", "a b&c=%2F"}, "stdin": {"true"}, "stdout": {"true"}, "stderr": {"true"},
	})
	executors := map[string]func() (remotecommand.Executor, error){
		"SPDY": func() (remotecommand.Executor, error) {
			return remotecommand.NewSPDYExecutor(e.tenant.Config, "POST", location)
		},
		"WebSocket": func() (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(e.tenant.Config, "GET", location.String())
		},
	}
	for name, executor := range executors {
		t.Run(name, func(t *testing.T) {
			exec, err := executor()
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := exec.StreamWithContext(t.Context(), remotecommand.StreamOptions{
				Stdin: strings.NewReader("input\n"), Stdout: &out, Stderr: io.Discard,
			}); err != nil {
				t.Fatal(err)
			}
			want := "main: [\"sh\" \"-c\" \"a b&c=%2F\"]\ninput\n"
			if out.String() != want {
				t.Errorf("exec: %q, want %q", out.String(), want)
			}
		})
	}
}

func (e *environment) testPortForward(t *testing.T) {
	transport, upgrader, err := spdy.RoundTripperFor(e.tenant.Config)
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", e.subresource(t, "portforward", nil))
	conn, _, err := dialer.Dial("portforward.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	headers := http.Header{}
	headers.Set("streamType", "error")
	headers.Set("port", "8080")
	headers.Set("requestID", "0")
	if _, err := conn.CreateStream(headers); err != nil {
		t.Fatal(err)
	}
	headers.Set("streamType", "data")
	data, err := conn.CreateStream(headers)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(data, "hello")
	reader := bufio.NewReader(data)
	for _, want := range []string{"port 8080\n", "hello\n"} {
		if got, err := reader.ReadString('\n'); got != want {
			t.Errorf("port-forward: %q (%v), want %q", got, err, want)
		}
	}
}

func (e *environment) subresource(t *testing.T, name string, query url.Values) *url.URL {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(e.tenant.Config)
	if err != nil {
		t.Fatal(err)
	}
	request := clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace("default").Name("web").SubResource(name)
	for key, values := range query {
		for _, value := range values {
			request = request.Param(key, value)
		}
	}
	return request.URL()
}

// testDeleted deletes the tenant while a stream is open.
func (e *environment) testDeleted(t *testing.T) {
	clientset, err := kubernetes.NewForConfig(e.tenant.Config)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := clientset.CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{Container: "main", Follow: true}).Stream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	<-e.kubelet.opened
	if err := e.superClient.Delete(t.Context(), e.virtualCluster); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case <-e.kubelet.ended:
	case <-ctx.Done():
		t.Fatal("the stream outlived its tenant")
	}
	eventually(t, func(context.Context) error {
		if _, err := e.tenantLogs(t, &corev1.PodLogOptions{Container: "main"}); err == nil {
			return errors.New("the tenant still reads logs")
		}
		return nil
	})
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// TestExposure reaches one tenant at a NodePort, at its ClusterIP and through
// vc-gateway, each time with the kubeconfig that it then has.
func TestExposure(t *testing.T) {
	tn := newTenant(t, "exposed")
	if err := tn.client.Create(t.Context(), newPod(metav1.NamespaceDefault, "web")); err != nil {
		t.Fatal(err)
	}
	tn.waitRunning(t, metav1.NamespaceDefault, "web")
	for _, tc := range []struct {
		exposure tenancyv1alpha1.ExposureType
		inside   bool // it is reached from the cluster's own network alone
	}{
		{exposure: tenancyv1alpha1.ExposeNodePort},
		{exposure: tenancyv1alpha1.ExposeGateway},
		{exposure: tenancyv1alpha1.ExposeClusterIP, inside: true},
		{exposure: tenancyv1alpha1.ExposeGateway},
		{exposure: tenancyv1alpha1.ExposeNodePort},
	} {
		t.Run(string(tc.exposure), func(t *testing.T) {
			kubeconfig := tn.expose(t, tc.exposure)
			run := &exposedTenant{kubeconfig: kubeconfig, inside: tc.inside}
			run.checkRequests(t)
			run.checkWatch(t)
			if !tc.inside {
				run.checkPortForward(t)
			}
		})
	}
}

// expose changes the type of exposure, waits until the tenant is ready by it,
// and returns the path of its kubeconfig.
func (tn *tenant) expose(t *testing.T, exposure tenancyv1alpha1.ExposureType) string {
	t.Helper()
	live := &tenancyv1alpha1.VirtualCluster{}
	key := client.ObjectKeyFromObject(tn.object)
	if err := superClient.Get(t.Context(), key, live); err != nil {
		t.Fatal(err)
	}
	before := live.DeepCopy()
	live.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{Expose: &tenancyv1alpha1.VirtualClusterExposure{Type: exposure}}
	if err := superClient.Patch(t.Context(), live, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	changed := live.Generation
	begin := time.Now()
	// The kubelet takes up to a minute and a half to show a pod its new certificate.
	eventually(t, 3*time.Minute, "ready by "+string(exposure), func(ctx context.Context) error {
		if err := superClient.Get(ctx, key, live); err != nil {
			return err
		}
		ready := condition(live, tenancyv1alpha1.ConditionReady)
		if live.Status.ObservedGeneration < changed || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration < changed {
			return fmt.Errorf("Ready = %+v", ready)
		}
		return nil
	})
	t.Logf("%s at %s after %s", exposure, live.Status.ControlPlane.Endpoint, time.Since(begin).Round(time.Second))
	path := must(t, "kubectl-vc", "kubeconfig", tn.name)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(own, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return own
}

// exposedTenant runs kubectl with one kubeconfig.
type exposedTenant struct {
	kubeconfig string
	inside     bool
}

// command is kubectl, in the cluster's network where nothing else leads to the address.
func (e *exposedTenant) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{filepath.Join(binDir, "kubectl"), "--kubeconfig", e.kubeconfig}, args...)
	if e.inside {
		args = append([]string{"nsenter", "--net=" + filepath.Join(localDir, "ns", "net")}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = environment()
	return cmd
}

func (e *exposedTenant) checkRequests(t *testing.T) {
	t.Helper()
	// At once: who was told that the tenant is ready need not try twice.
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "pod", "web", "-o", "jsonpath={.status.phase}"}, "Running"},
		{[]string{"exec", "web", "--", "uname", "-r"}, gvisorKernel},
	} {
		out, err := e.command(t.Context(), tc.args...).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != tc.want {
			t.Errorf("kubectl %s: %q (%v), want %s", strings.Join(tc.args, " "), out, err, tc.want)
		}
	}
}

// begin starts kubectl until the test ends, and returns its lines.
func (e *exposedTenant) begin(t *testing.T, args ...string) *bufio.Reader {
	t.Helper()
	cmd := e.command(t.Context(), args...)
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It was killed, and says so.
	})
	return bufio.NewReader(output)
}

func (e *exposedTenant) checkWatch(t *testing.T) {
	t.Helper()
	name := fmt.Sprintf("seen-%d", time.Now().UnixNano())
	lines := e.begin(t, "get", "configmaps", "--watch", "--output=name", "--request-timeout=60s")
	if out, err := e.command(t.Context(), "create", "configmap", name).CombinedOutput(); err != nil {
		t.Fatalf("creating a ConfigMap: %s %v", out, err)
	}
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("the watch ended without %s: %v", name, err)
		}
		if strings.Contains(line, name) {
			return
		}
	}
}

func (e *exposedTenant) checkPortForward(t *testing.T) {
	t.Helper()
	line, err := e.begin(t, "port-forward", "pod/web", ":8080").ReadString('\n')
	if err != nil {
		t.Fatalf("port-forward: %v", err)
	}
	var port int
	if _, err := fmt.Sscanf(line, "Forwarding from 127.0.0.1:%d", &port); err != nil {
		t.Fatalf("port-forward says %q", line)
	}
	eventually(t, 20*time.Second, "an answer of the pod", func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/hostname", port), http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err == nil && strings.TrimSpace(string(body)) != "web" {
			err = errors.New("the answer is " + string(body))
		}
		return err
	})
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	processtest "virtualcluster.io/virtualcluster/test/framework/process"
)

// detectMutations has client-go look every second whether somebody has changed an
// object in a cache, which all readers share, and panic then.
const detectMutations = "KUBE_CACHE_MUTATION_DETECTOR=true"

// program is the syncer as it is shipped: a process with a configuration file,
// so that kill -9 and SIGSTOP are what they are in production.
type program struct {
	root      *testing.T
	arguments []string
	env       []string // beside this process's own
	log       string
	metrics   string
	process   *processtest.Process
	starts    int
}

// newProgram builds the syncer and writes its configuration. What configure
// changes is in the file; leader election is off unless it turns it on.
func (e *environment) newProgram(t *testing.T, configure func(*configv1alpha1.SyncerConfiguration)) *program {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "syncer")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "virtualcluster.io/virtualcluster/cmd/syncer")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the syncer: %v\n%s", err, output)
	}
	metrics := freeAddress(t)
	config := &configv1alpha1.SyncerConfiguration{}
	off := false
	config.LeaderElection.LeaderElect = &off
	config.Metrics.BindAddress, config.Health.BindAddress = metrics, "0"
	if configure != nil {
		configure(config)
	}
	must(t, configv1alpha1.Load("", config))
	content, err := yaml.Marshal(config)
	must(t, err)
	configFile, kubeconfig := filepath.Join(dir, "syncer.yaml"), filepath.Join(dir, "kubeconfig")
	must(t, os.WriteFile(configFile, content, 0o600))
	must(t, os.WriteFile(kubeconfig, e.superGate.kubeconfig(t, e.superLine.address()), 0o600))
	p := &program{
		root: e.root, env: []string{detectMutations}, log: filepath.Join(dir, "syncer.log"), metrics: metrics,
		arguments: []string{binary, "--config=" + configFile, "--kubeconfig=" + kubeconfig, "--log-format=text"},
	}
	t.Cleanup(func() { p.end(t) })
	return p
}

// start starts the program; it may have been killed before.
func (p *program) start(t *testing.T) {
	t.Helper()
	output, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer output.Close()
	command := exec.Command(p.arguments[0], p.arguments[1:]...)
	command.Stdout, command.Stderr = output, output
	command.Env = append(os.Environ(), p.env...)
	p.process, err = processtest.Start(command)
	must(t, err)
	p.starts++
}

// kill is kill -9.
func (p *program) kill(t *testing.T) {
	t.Helper()
	select {
	case <-p.process.Exited():
		t.Errorf("the syncer had ended by itself (%s):\n%s", p.process.Exit(), p.logTail())
	default:
		must(t, p.process.Kill())
	}
}

// stop ends the program in order, as a rollout does.
func (p *program) stop(t *testing.T) {
	t.Helper()
	must(t, p.process.Signal(syscall.SIGTERM))
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-p.process.Exited():
	case <-timer.C:
		must(t, p.process.Kill())
		t.Errorf("the syncer did not stop:\n%s", p.logTail())
	}
}

// end stops whatever still runs and looks for panics in the log.
func (p *program) end(t *testing.T) {
	if p.process != nil {
		must(t, p.process.Kill())
	}
	content, err := os.ReadFile(p.log)
	if err != nil {
		return // never started
	}
	if strings.Contains(string(content), "panic") || strings.Contains(string(content), "DATA RACE") {
		t.Errorf("the syncer panicked:\n%s", content)
	}
	if t.Failed() {
		t.Logf("the end of the syncer's log:\n%s", p.logTail())
	}
}

func (p *program) logTail() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-16<<10):])
}

// metric adds up the samples of a metric whose labels contain all of these.
func (p *program) metric(ctx context.Context, name string, labels ...string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.metrics+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(string(content)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if rest, ok := strings.CutPrefix(series, name); !ok || (rest != "" && rest[0] != '{') || !containsAll(rest, labels) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, err
		}
		total += number
	}
	return total, nil
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// waitTenants waits until so many tenants take part.
func (p *program) waitTenants(t *testing.T, tenants int) {
	t.Helper()
	eventually(t, "the tenants are synced", func(ctx context.Context) error {
		n, err := p.metric(ctx, "virtualcluster_syncer_tenants_synced")
		if err == nil && int(n) != tenants {
			err = fmt.Errorf("%v of %d", n, tenants)
		}
		return err
	})
}

// waitPass waits until the syncer has looked at something and then rests. It
// returns when the last reconcile ended.
func (p *program) waitPass(t *testing.T, limit time.Duration) time.Time {
	t.Helper()
	const rest = 1500 * time.Millisecond
	var last float64
	changed := time.Now()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, limit, true, func(ctx context.Context) (bool, error) {
		n, err := p.metric(ctx, "virtualcluster_syncer_reconciles_total")
		if err != nil {
			return false, nil //nolint:nilerr // it is starting.
		}
		if n != last {
			last, changed = n, time.Now()
		}
		return last > 0 && time.Since(changed) > rest, nil
	})
	if err != nil {
		t.Fatalf("the first pass did not end: %v after %v reconciles", err, last)
	}
	return changed
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, listener.Close()) }()
	return listener.Addr().String()
}

// errStill is returned by conditions that do not hold yet.
var errStill = errors.New("not yet")

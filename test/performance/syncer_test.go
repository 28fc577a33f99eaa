// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
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

	"sigs.k8s.io/yaml"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	processtest "virtualcluster.io/virtualcluster/test/framework/process"
)

// scrapeInterval is how often those who wait look at the syncer's metrics, which
// costs the syncer something.
const scrapeInterval = 250 * time.Millisecond

// syncer is the program as it is shipped, with its defaults.
type syncer struct {
	root      *testing.B // what the process ends with
	binary    string
	arguments []string
	metrics   string
	profiling string
	process   *processtest.Process
}

// startSyncer builds and starts the syncer, and waits until it serves all tenants.
func (w *world) startSyncer(b *testing.B) {
	b.Helper()
	dir := b.TempDir()
	s := &syncer{root: b, binary: filepath.Join(dir, "syncer"), metrics: freeAddress(b)}
	build := exec.CommandContext(b.Context(), "go", "build", "-o", s.binary, "virtualcluster.io/virtualcluster/cmd/syncer")
	if output, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building the syncer: %v\n%s", err, output)
	}
	config := &configv1alpha1.SyncerConfiguration{}
	config.Metrics.BindAddress, config.Health.BindAddress = s.metrics, "0"
	if profileDirectory() != "" {
		s.profiling = freeAddress(b)
		config.Profiling.BindAddress = s.profiling
	}
	must(b, configv1alpha1.Load("", config))
	content, err := yaml.Marshal(config)
	must(b, err)
	configFile, kubeconfig := filepath.Join(dir, "syncer.yaml"), filepath.Join(dir, "super.kubeconfig")
	must(b, os.WriteFile(configFile, content, 0o600))
	must(b, os.WriteFile(kubeconfig, w.super.Kubeconfig, 0o600))
	s.arguments = []string{"--config=" + configFile, "--kubeconfig=" + kubeconfig}
	w.syncer = s
	s.start()
	w.waitSynced(b)
}

func (s *syncer) start() { s.process = runFile(s.root, s.binary, s.arguments...) }

// stop ends the syncer as a rollout does.
func (s *syncer) stop(b *testing.B) {
	b.Helper()
	must(b, s.process.Signal(syscall.SIGTERM))
	timer := time.NewTimer(settle)
	defer timer.Stop()
	select {
	case <-s.process.Exited():
	case <-timer.C:
		b.Fatalf("the syncer did not stop within %s", settle)
	}
}

// metric adds up the samples of a metric whose labels contain all of these.
func (s *syncer) metric(ctx context.Context, name string, labels ...string) (float64, error) {
	total := 0.0
	err := s.samples(ctx, func(series string, value float64) {
		rest, ok := strings.CutPrefix(series, name)
		if !ok || (rest != "" && rest[0] != '{') {
			return
		}
		for _, label := range labels {
			if !strings.Contains(rest, label) {
				return
			}
		}
		total += value
	})
	return total, err
}

// samples calls each for every sample that the syncer's metrics show.
func (s *syncer) samples(ctx context.Context, each func(series string, value float64)) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if number, err := strconv.ParseFloat(value, 64); err == nil && !strings.HasPrefix(series, "#") {
			each(series, number)
		}
	}
	return nil
}

// calls returns how often the syncer has asked each cluster, by the HTTP method.
func (s *syncer) calls(b *testing.B, superHost string) map[string]float64 {
	b.Helper()
	counts := map[string]float64{}
	must(b, s.samples(b.Context(), func(series string, value float64) {
		labels, ok := strings.CutPrefix(series, "rest_client_requests_total{")
		if !ok {
			return
		}
		cluster := "tenants"
		if strings.Contains(labels, strconv.Quote(strings.TrimPrefix(superHost, "https://"))) {
			cluster = "super"
		}
		_, method, _ := strings.Cut(labels, "method=\"")
		method, _, _ = strings.Cut(method, "\"")
		counts[cluster+" "+method] += value
	}))
	return counts
}

// cpu returns the processor time that a process has used.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	// Fields 14 and 15 of proc(5); the second may hold spaces, in parentheses.
	fields := strings.Fields(string(content[strings.LastIndexByte(string(content), ')')+1:]))
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		must(b, err)
		ticks += n
	}
	const perSecond = 100 // USER_HZ
	return time.Duration(ticks) * time.Second / perSecond
}

// memory returns the syncer's private memory, in bytes: what the machine would have
// more if it ended. The pages of its program are the file's.
func (s *syncer) memory() (float64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", s.process.PID()))
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(string(content)) {
		name, rest, _ := strings.Cut(line, ":")
		if name != "Private_Dirty" {
			continue
		}
		kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return 0, err
		}
		total += kilobytes * 1024
	}
	return total, nil
}

// memoryAtRest returns the syncer's private memory, in bytes, once it has not
// fallen any more for some seconds: what a start has taken is given back after it.
func (s *syncer) memoryAtRest(b *testing.B) float64 {
	b.Helper()
	const rest = 5 * time.Second
	lowest, changed := 0.0, time.Now()
	untilEvery(b, scrapeInterval, "the syncer's memory does not fall", func(context.Context) error {
		now, err := s.memory()
		if err != nil {
			return err
		}
		if lowest == 0 || now < 0.99*lowest {
			lowest, changed = now, time.Now()
		}
		if time.Since(changed) < rest {
			return fmt.Errorf("%v bytes", now)
		}
		return nil
	})
	return lowest
}

// peak samples the syncer's memory until the returned function is called, which
// returns the most that was seen, in bytes.
func (s *syncer) peak(b *testing.B) func() float64 {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	most := make(chan float64)
	go func() {
		highest := 0.0
		for {
			began := time.Now()
			if now, err := s.memory(); err == nil {
				highest = max(highest, now)
			}
			// The kernel counts page by page: of much memory not as often.
			next := time.NewTimer(max(100*time.Millisecond, 50*time.Since(began)))
			select {
			case <-next.C:
			case <-ctx.Done():
				next.Stop()
				most <- highest
				return
			}
		}
	}()
	return func() float64 {
		cancel()
		return <-most
	}
}

func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	must(b, err)
	defer func() { must(b, listener.Close()) }()
	return listener.Addr().String()
}

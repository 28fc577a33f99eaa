// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"virtualcluster.io/virtualcluster/pkg/local/host"
)

// isPodCgroup knows the cgroup of a pod by the name that the kubelet gives it.
func isPodCgroup(name string) bool { return strings.HasPrefix(name, "pod") }

// start starts a daemon that does not run. Its ports must be free: nobody else
// but a person in this very network namespace could have them.
func (s *starter) start(ctx context.Context, name string) (bool, error) {
	process, err := host.ReadPidFile(s.layout.pidFile(name))
	if err != nil {
		return false, err
	}
	if process.Alive() && !process.Ending() {
		return false, nil
	}
	if err := host.Stop(ctx, process, stopGrace(name)); err != nil {
		return false, err
	}
	if err := s.checkPorts(ctx, name); err != nil {
		return false, err
	}
	if name == daemonKubelet {
		// The kubelet spends three seconds on every cgroup that a killed pod left.
		if err := s.layout.cgroups().Prune(isPodCgroup); err != nil {
			return false, fmt.Errorf("removing what killed pods left: %w", err)
		}
	}
	_, err = host.Start(s.layout.namespaces(), s.layout.cgroups(), newDaemon(s.layout, s.options, s.state, name))
	if err != nil {
		return false, err
	}
	s.started = append(s.started, name)
	return true, nil
}

// await polls until done returns nil. A daemon that this call found running and
// that ends is started again; one that this call started must not end: then, as
// after timeout, the error names its log.
func (s *starter) await(ctx context.Context, timeout time.Duration, name string, done func(context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		if last = done(ctx); last == nil {
			return true, nil
		}
		if !slices.Contains(s.started, name) {
			_, err := s.start(ctx, name)
			return false, err
		}
		process, err := host.ReadPidFile(s.layout.pidFile(name))
		if err == nil && !process.Alive() {
			return false, fmt.Errorf("%s ended by itself: %s; see %s", name, lastLogLine(s.layout.logFile(name)), s.layout.logFile(name))
		}
		return false, nil
	})
	if err == nil || !wait.Interrupted(err) || ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%s is not ready after %s: %w; see %s", name, timeout, last, s.layout.logFile(name))
}

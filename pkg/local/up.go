// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/clock"
)

// rollbackTimeout bounds how long a failed Up takes to undo what it did.
const rollbackTimeout = time.Minute

// starter is one call of Up.
type starter struct {
	layout   layout
	options  Options
	facts    facts
	state    *state
	clock    clock.PassiveClock
	progress *progress
	// prepared says that this call made the namespaces: nothing ran before.
	prepared bool
	// started are the daemons that this call started.
	started []string
}

// Up starts the cluster, or what of it does not run, and installs the
// platform. It tells each step that changed something; a second call changes
// nothing and says so. When it fails, what it started is gone again, except for
// the logs, and the error is one line that names the cause and the remedy.
func Up(ctx context.Context, options Options) error {
	options, err := options.complete()
	if err != nil {
		return err
	}
	s := &starter{layout: layout{dir: options.Dir}, options: options, clock: clock.RealClock{}}
	s.progress = newProgress(options.Out, s.clock)
	if err := s.check(); err != nil {
		return oneLine(err)
	}
	if err := os.MkdirAll(options.Dir, 0o755); err != nil {
		return fmt.Errorf("making the cluster's folder: %w", err)
	}
	unlock, err := lock(options.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	// Another Up may have ended since the check, and what it made must stay.
	fresh, err := s.recall()
	if err != nil {
		return oneLine(err)
	}
	if err := s.run(ctx, fresh); err != nil {
		return oneLine(s.rollback(ctx, fresh, err))
	}
	if s.progress.changes == 0 {
		fmt.Fprintln(options.Out, "already up; nothing changed")
		return nil
	}
	fmt.Fprintf(options.Out, "up after %s; KUBECONFIG=%s\n", s.progress.total(), s.layout.kubeconfig())
	return nil
}

// recall reads what the cluster remembers. One that has never been up as a
// whole is fresh.
func (s *starter) recall() (fresh bool, err error) {
	if s.state, err = readState(s.layout); err != nil {
		return false, err
	}
	return s.state == nil || !s.state.Complete, nil
}

// check looks for what would keep the cluster from starting, before anything
// is touched. A cluster that has been up once needs less than a new one.
func (s *starter) check() error {
	if err := checkMachine(facts{os: runtime.GOOS, uid: os.Geteuid()}); err != nil {
		return err
	}
	fresh, err := s.recall()
	if err != nil {
		return err
	}
	if s.facts, err = gatherFacts(s.layout, s.options); err != nil {
		return err
	}
	if !fresh {
		s.facts.free = max(s.facts.free, s.options.MinFree)
		if s.options.APIPort != s.state.APIPort && s.options.APIPort != DefaultAPIPort {
			return fmt.Errorf("the cluster in %s has the API port %d; to change it, run local down first", s.layout.dir, s.state.APIPort)
		}
	}
	if err := checkUp(s.facts, s.options); err != nil {
		return err
	}
	return clashingPort(s.options.APIPort)
}

// run takes every step. A step finds out by itself whether there is anything to do.
func (s *starter) run(ctx context.Context, fresh bool) error {
	if fresh {
		// An Up that was interrupted may have left something.
		if err := takeDown(ctx, s.layout, keepLogs); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		name string
		run  func(ctx context.Context) (changed bool, err error)
	}{
		{"configuration and certificates", s.configure},
		{"namespaces and network", s.prepare},
		{"containerd", s.startRuntime},
		{"images", s.importImages},
		{"control plane", s.waitForAPI},
		{"scheduler, kubelet and proxy", s.startClients},
		{"add-ons", s.applyAddons},
		{"node ready", s.waitForNode},
		{"DNS and storage", s.waitForAddons},
		{"platform", s.installPlatform},
	} {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.progress.step(step.name, func() (bool, error) { return step.run(ctx) }); err != nil {
			return err
		}
	}
	s.state.Complete = true
	return s.state.write(s.layout)
}

// rollback undoes what this call did and returns cause, with more if that failed too.
func (s *starter) rollback(ctx context.Context, fresh bool, cause error) error {
	if ctx.Err() != nil {
		cause = errors.New("interrupted; what was started is gone again")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	switch {
	case fresh:
		return errors.Join(cause, takeDown(ctx, s.layout, keepLogs))
	case s.prepared:
		// The cluster had been ended, or the machine started anew: all that runs is this call's.
		return errors.Join(cause, takeDown(ctx, s.layout, keepData))
	}
	for _, name := range slices.Backward(s.started) {
		cause = errors.Join(cause, stopDaemon(ctx, s.layout, name))
	}
	return cause
}

// oneLine keeps an error fit for a terminal: joined errors stand behind each other.
func oneLine(err error) error {
	text := err.Error()
	if !strings.Contains(text, "\n") {
		return err
	}
	return errors.New(strings.ReplaceAll(text, "\n", "; "))
}

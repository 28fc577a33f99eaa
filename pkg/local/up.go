// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"

	"virtualcluster.io/virtualcluster/pkg/local/host"
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
	fresh, err := s.check()
	if err != nil {
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

// check looks for what would keep the cluster from starting, before anything
// is touched. A cluster that has been up once needs less than a new one.
func (s *starter) check() (fresh bool, err error) {
	if err := checkMachine(facts{os: runtime.GOOS, uid: os.Geteuid()}); err != nil {
		return false, err
	}
	if s.state, err = readState(s.layout); err != nil {
		return false, err
	}
	fresh = s.state == nil || !s.state.Complete
	if s.facts, err = gatherFacts(s.layout, s.options); err != nil {
		return fresh, err
	}
	if !fresh {
		s.facts.free = max(s.facts.free, s.options.MinFree)
		if s.options.APIPort != s.state.APIPort && s.options.APIPort != DefaultAPIPort {
			return fresh, fmt.Errorf("the cluster in %s has the API port %d; to change it, run local down first", s.layout.dir, s.state.APIPort)
		}
	}
	if err := checkUp(s.facts, s.options); err != nil {
		return fresh, err
	}
	return fresh, clashingPort(s.options.APIPort)
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
	if fresh {
		return errors.Join(cause, takeDown(ctx, s.layout, keepLogs))
	}
	for _, name := range slices.Backward(s.started) {
		cause = errors.Join(cause, stopDaemon(ctx, s.layout, name))
	}
	return cause
}

// configure writes every file that the parts of the cluster read.
func (s *starter) configure(context.Context) (bool, error) {
	changed, err := s.settle()
	if err != nil {
		return changed, err
	}
	for _, dir := range []string{"bin", "containerd", "control-plane", "etc", "kubelet", "logs/pods", "pids", "storage"} {
		if err := os.MkdirAll(s.layout.path(dir), 0o755); err != nil {
			return changed, fmt.Errorf("making a folder of the cluster: %w", err)
		}
	}
	if err := os.Chmod(s.layout.path("control-plane"), 0o700); err != nil {
		return changed, fmt.Errorf("closing the control plane's folder: %w", err)
	}
	files, err := configFiles(s.settings())
	if err != nil {
		return changed, err
	}
	for _, file := range files {
		if err := writeFile(s.layout.path(filepath.FromSlash(file.path)), file.content, fs.FileMode(file.mode)); err != nil {
			return changed, err
		}
	}
	made, err := writeCertificates(s.layout, s.state, s.clock.Now())
	return changed || made, err
}

// settle chooses a new cluster's addresses and marks its folder as a cluster's.
func (s *starter) settle() (changed bool, err error) {
	if s.state != nil && s.state.Complete {
		return false, nil
	}
	used, err := host.UsedPrefixes()
	if err != nil {
		return false, err
	}
	s.state = &state{APIPort: s.options.APIPort}
	if s.state.HostIP, s.state.NodeIP, err = s.layout.linkAddresses(used); err != nil {
		return false, err
	}
	if err := s.state.write(s.layout); err != nil {
		return false, err
	}
	return true, writeFile(s.layout.path(logsDir, logsMark), nil, 0o644)
}

func (s *starter) settings() settings {
	return settings{
		BinDir:           s.options.BinDir,
		CNIBinDir:        s.facts.cniBinDir,
		Cgroup:           s.layout.cgroups().Name,
		ClusterDomain:    clusterDomain,
		DNSIP:            dnsIP,
		NodeName:         NodeName,
		PauseImage:       pauseImage,
		PodCIDR:          podCIDR,
		RestrictOOMScore: s.facts.withheld,
	}
}

// prepare makes namespaces, network and cgroup, together or not at all: after
// the machine was started anew, all are gone.
func (s *starter) prepare(ctx context.Context) (bool, error) {
	link := s.state.link(s.layout)
	if s.layout.namespaces().Exist() && link.Exists() {
		return false, s.layout.cgroups().Create()
	}
	if err := vacate(ctx, s.layout); err != nil {
		return false, err
	}
	if err := s.layout.cgroups().Create(); err != nil {
		return false, err
	}
	if err := s.layout.namespaces().Create(func() error { return furnish(s.layout, s.options) }); err != nil {
		return false, err
	}
	return true, link.Create(s.layout.namespaces())
}

// startRuntime starts containerd, and the control plane, which need not wait
// for each other.
func (s *starter) startRuntime(ctx context.Context) (bool, error) {
	controlPlane, err := s.start(ctx, daemonControlPlane)
	if err != nil {
		return controlPlane, err
	}
	changed, err := s.start(ctx, daemonContainerd)
	if err != nil {
		return changed || controlPlane, err
	}
	return changed || controlPlane, s.await(ctx, 30*time.Second, daemonContainerd, func(ctx context.Context) error {
		return dialInside(ctx, s.layout, daemonContainerd, containerdSocket)
	})
}

func (s *starter) importImages(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	changed, err := importImages(ctx, s.layout, s.options)
	if err != nil {
		err = fmt.Errorf("%w; see %s", err, s.layout.logFile(daemonContainerd))
	}
	return changed, err
}

// startClients starts everything that is a client of the API.
func (s *starter) startClients(ctx context.Context) (bool, error) {
	changed := false
	for _, name := range []string{daemonScheduler, daemonKubelet, daemonProxy} {
		started, err := s.start(ctx, name)
		if err != nil {
			return changed, err
		}
		changed = changed || started
	}
	return changed, nil
}

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

// oneLine keeps an error fit for a terminal: joined errors stand behind each other.
func oneLine(err error) error {
	text := err.Error()
	if !strings.Contains(text, "\n") {
		return err
	}
	return errors.New(strings.ReplaceAll(text, "\n", "; "))
}

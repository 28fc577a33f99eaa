// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"virtualcluster.io/virtualcluster/pkg/local/host"
)

// downTimeout bounds Down.
const downTimeout = 2 * time.Minute

// leftover says what takeDown leaves of the cluster's folder.
type leftover int

const (
	keepNothing leftover = iota
	keepLogs
	keepData
)

// Down ends the cluster and removes everything of it: processes, mounts,
// interfaces, namespaces, cgroups and, unless Options.KeepData, the folder with
// all data. It is idempotent and needs nothing of the cluster to work.
func Down(ctx context.Context, options Options) error {
	options, err := options.complete()
	if err != nil {
		return err
	}
	if err := checkMachine(facts{os: runtime.GOOS, uid: os.Geteuid()}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	l := layout{dir: options.Dir}
	foreign, err := isForeign(l)
	if err != nil {
		return err
	}
	_, missing := os.Stat(l.dir)
	if (foreign || missing != nil) && len(traces(l)) == 0 {
		fmt.Fprintf(options.Out, "no local cluster in %s; nothing to remove\n", l.dir)
		return nil
	}
	if missing == nil {
		unlock, err := lock(l.dir)
		if err != nil {
			return err
		}
		defer unlock()
	}
	progress := newProgress(options.Out, clock.RealClock{})
	keep, name := keepNothing, "removed the cluster"
	if options.KeepData {
		keep, name = keepData, "stopped the cluster, kept its data"
	}
	return oneLineOrNil(progress.step(name, func() (bool, error) { return true, takeDown(ctx, l, keep) }))
}

func oneLineOrNil(err error) error {
	if err == nil {
		return nil
	}
	return oneLine(err)
}

// traces names what there is of a cluster outside its folder.
func traces(l layout) []string {
	var found []string
	if _, err := os.Stat(filepath.Join(host.CgroupRoot, l.cgroups().Name)); err == nil {
		found = append(found, "cgroup "+l.cgroups().Name)
	}
	if pids, err := l.cgroups().Processes(); err == nil && len(pids) > 0 {
		found = append(found, fmt.Sprintf("processes %v", pids))
	}
	if (host.Link{Name: l.linkName()}).Exists() {
		found = append(found, "interface "+l.linkName())
	}
	return found
}

// takeDown ends everything of the cluster and removes what keep does not name.
// A folder that is not a cluster's is never removed.
func takeDown(ctx context.Context, l layout, keep leftover) error {
	if keep == keepData {
		for _, name := range slices.Backward(daemonNames()) {
			if err := stopDaemon(ctx, l, name); err != nil {
				return err
			}
		}
	}
	if err := vacate(ctx, l); err != nil {
		return err
	}
	if keep == keepData {
		return nil
	}
	if foreign, err := isForeign(l); err != nil || foreign {
		return err
	}
	return removeFolder(l, keep)
}

// vacate leaves nothing of the cluster but its folder.
func vacate(ctx context.Context, l layout) error {
	if err := l.cgroups().Kill(ctx); err != nil {
		return err
	}
	// Someone may have entered the namespaces from elsewhere, or be on the way into the cgroup.
	if err := l.namespaces().Kill(ctx); err != nil {
		return err
	}
	return errors.Join(
		(host.Link{Name: l.linkName()}).Remove(),
		l.namespaces().Remove(),
		host.UnmountBelow(l.dir),
		l.cgroups().Remove(ctx),
	)
}

func removeFolder(l layout, keep leftover) error {
	if keep == keepNothing {
		err := os.RemoveAll(l.dir)
		if errors.Is(err, syscall.EBUSY) && isEmpty(l.dir) {
			return nil // A disk of the machine's is mounted there, and stays.
		}
		if err != nil {
			return fmt.Errorf("removing the cluster's folder: %w", err)
		}
		return nil
	}
	entries, err := os.ReadDir(l.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the cluster's folder: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == logsDir {
			continue
		}
		if err := os.RemoveAll(l.path(entry.Name())); err != nil {
			return fmt.Errorf("removing a part of the cluster's folder: %w", err)
		}
	}
	return nil
}

func isEmpty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// stopDaemon ends a daemon, if it runs.
func stopDaemon(ctx context.Context, l layout, name string) error {
	process, err := host.ReadPidFile(l.pidFile(name))
	if err != nil {
		return err
	}
	if err := host.Stop(ctx, process, stopGrace(name)); err != nil {
		return fmt.Errorf("stopping %s: %w", name, err)
	}
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// CgroupRoot is where the cgroup hierarchies are mounted.
	CgroupRoot = "/sys/fs/cgroup"
	// daemonCgroup is the child that holds the daemons; others belong to whom they start.
	daemonCgroup = "system"
	// pollInterval is how often a condition of the machine is looked at.
	pollInterval = 20 * time.Millisecond
)

// Cgroups is one top-level cgroup, by the same name in every hierarchy: one
// with cgroup version 2, one a controller with version 1. Every process of a
// cluster is in it, which is how Kill finds them all.
type Cgroups struct {
	// Root is where the hierarchies are mounted: CgroupRoot but in tests.
	Root string
	// Name of the cgroup, without a slash.
	Name string
}

// Create makes the cgroup and the child for daemons. It is idempotent.
func (c Cgroups) Create() error {
	hierarchies, err := c.hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		parent := hierarchy
		for _, name := range []string{c.Name, daemonCgroup} {
			child := filepath.Join(parent, name)
			if err := os.Mkdir(child, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return fmt.Errorf("making a cgroup: %w", err)
			}
			if err := inheritCpuset(parent, child); err != nil {
				return err
			}
			parent = child
		}
	}
	return c.delegate()
}

// delegate hands every controller of version 2 down to the cgroup's children.
func (c Cgroups) delegate() error {
	controllers, err := os.ReadFile(filepath.Join(c.Root, "cgroup.controllers"))
	if err != nil {
		return nil //nolint:nilerr // Version 1 has no such file and nothing to hand down.
	}
	for _, dir := range []string{c.Root, filepath.Join(c.Root, c.Name)} {
		for controller := range strings.FieldsSeq(string(controllers)) {
			// A controller that cannot be had here is the business of who needs it.
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		}
	}
	return nil
}

// Enter moves a process into the child for daemons. What it starts from then on is born there.
func (c Cgroups) Enter(pid int) error {
	hierarchies, err := c.hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		procs := filepath.Join(hierarchy, c.Name, daemonCgroup, "cgroup.procs")
		if err := os.WriteFile(procs, []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return fmt.Errorf("moving process %d into its cgroup: %w", pid, err)
		}
	}
	return nil
}

// Processes returns the ids of all processes in the cgroup and below, sorted.
func (c Cgroups) Processes() ([]int, error) {
	var pids []int
	err := c.walk(func(dir string) error {
		content, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return nil //nolint:nilerr // It was removed meanwhile, or holds threads, whose process is listed above it.
		}
		for field := range strings.FieldsSeq(string(content)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	slices.Sort(pids)
	return slices.Compact(pids), err
}

// Kill ends every process of the cgroup at once and returns when they are
// gone, or with an error when ctx ends first. Processes that are born
// meanwhile are found too.
func (c Cgroups) Kill(ctx context.Context) error {
	var left []int
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		var err error
		if left, err = c.Processes(); err != nil {
			return false, err
		}
		for _, pid := range left {
			if err := c.killMember(pid); err != nil {
				return false, err
			}
		}
		return len(left) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("killing processes %v of cgroup %s: %w", left, c.Name, err)
	}
	return nil
}

// killMember kills a process, but only one that the kernel itself says is in the
// cgroup: an error in finding processes must never reach those of others. One
// that is just ending is in no cgroup any more and is left alone too.
func (c Cgroups) killMember(pid int) error {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil //nolint:nilerr // It is gone.
	}
	if !isMember(string(content), c.Name) {
		return nil
	}
	return kill(pid)
}

// isMember reports whether the content of /proc/<pid>/cgroup names the cgroup or
// one below it. In a container the path may begin with the container's own
// cgroup. A cgroup without a name has no members: it would be the root, which
// everything is in.
func isMember(content, name string) bool {
	if name == "" {
		return false
	}
	for line := range strings.Lines(content) {
		// number:controllers:path, where only the path may hold colons.
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) == 3 && slices.Contains(strings.Split(parts[2], "/"), name) {
			return true
		}
	}
	return false
}

// Remove removes the cgroup and all below, which must hold no process. It is
// idempotent. The kernel frees a cgroup a moment after its last process.
func (c Cgroups) Remove(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		last = c.removeOnce()
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("removing cgroup %s: %w", c.Name, last)
	}
	return nil
}

// mayHoldProcesses is true too of a cgroup whose processes cannot be listed.
func mayHoldProcesses(dir string) bool {
	content, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	return err != nil || len(content) > 0
}

// Prune removes every unit, with all below it, that holds no process any more:
// isUnit tells by a cgroup's name whether it is one. A unit that holds some
// stays whole. The kernel itself refuses to remove a cgroup with a process.
func (c Cgroups) Prune(isUnit func(name string) bool) error {
	return c.walk(func(dir string) error {
		if !isUnit(filepath.Base(dir)) {
			return nil
		}
		below, occupied := []string{}, false
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return err
			}
			below, occupied = append(below, path), occupied || mayHoldProcesses(path)
			return nil
		})
		if err != nil {
			return err
		}
		if !occupied {
			err = removeDirs(below)
		}
		if err != nil {
			return err
		}
		return fs.SkipDir
	})
}

func (c Cgroups) removeOnce() error {
	var dirs []string
	if err := c.walk(func(dir string) error { dirs = append(dirs, dir); return nil }); err != nil {
		return err
	}
	return removeDirs(dirs)
}

// removeDirs removes empty folders, the last first.
func removeDirs(dirs []string) error {
	for _, dir := range slices.Backward(dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// walk calls visit with the cgroup's folder in each hierarchy and all below, parents first.
func (c Cgroups) walk(visit func(dir string) error) error {
	hierarchies, err := c.hierarchies()
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		err := filepath.WalkDir(filepath.Join(hierarchy, c.Name), func(path string, entry fs.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil
			}
			if err != nil || !entry.IsDir() {
				return err
			}
			return visit(path)
		})
		if err != nil {
			return fmt.Errorf("reading cgroups: %w", err)
		}
	}
	return nil
}

// hierarchies returns where cgroups can be made: the root itself with version
// 2, each controller's folder with version 1 (and the one without controllers).
func (c Cgroups) hierarchies() ([]string, error) {
	if c.Name == "" || strings.ContainsRune(c.Name, filepath.Separator) {
		return nil, fmt.Errorf("%q is no name of a top-level cgroup", c.Name)
	}
	if isHierarchy(c.Root) {
		return []string{c.Root}, nil
	}
	entries, err := os.ReadDir(c.Root)
	if err != nil {
		return nil, fmt.Errorf("reading cgroup hierarchies: %w", err)
	}
	var found []string
	for _, entry := range entries {
		// Links such as cpu -> cpu,cpuacct are not directories, so each counts once.
		if path := filepath.Join(c.Root, entry.Name()); entry.IsDir() && isHierarchy(path) {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no cgroups are mounted at %s", c.Root)
	}
	return found, nil
}

func isHierarchy(path string) bool {
	_, err := os.Stat(filepath.Join(path, "cgroup.procs"))
	return err == nil
}

// inheritCpuset gives a new cgroup of version 1 its parent's processors and
// memory: with none, no process may enter.
func inheritCpuset(parent, child string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := os.ReadFile(filepath.Join(child, name))
		if err != nil || strings.TrimSpace(string(own)) != "" {
			continue
		}
		inherited, err := os.ReadFile(filepath.Join(parent, name))
		if err != nil || strings.TrimSpace(string(inherited)) == "" {
			continue // Version 2: empty means the parent's.
		}
		if err := os.WriteFile(filepath.Join(child, name), inherited, 0o644); err != nil {
			return fmt.Errorf("setting %s of a new cgroup: %w", name, err)
		}
	}
	return nil
}

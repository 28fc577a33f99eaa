// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Namespaces are a network namespace and a mount namespace, kept alive by two
// files, net and mnt. What is mounted inside is never seen outside and goes
// with the namespace; mounts of the machine are seen inside.
type Namespaces struct {
	// Dir holds the two files. Nothing else may be in it.
	Dir string
}

// NetFile is the file that keeps the network namespace: an argument for nsenter --net=.
func (n Namespaces) NetFile() string { return filepath.Join(n.Dir, "net") }

// MountFile is the file that keeps the mount namespace: an argument for nsenter --mount=.
func (n Namespaces) MountFile() string { return filepath.Join(n.Dir, "mnt") }

// Exist reports whether both namespaces are there.
func (n Namespaces) Exist() bool {
	return isNamespace(n.NetFile()) && isNamespace(n.MountFile())
}

// Create makes both namespaces and runs setup inside them, before anything
// else can. Mounts that setup makes are shared among all that runs inside.
func (n Namespaces) Create(setup func() error) error {
	if err := n.prepare(); err != nil {
		return err
	}
	ready, keep := make(chan int, 1), make(chan struct{})
	finished := make(chan error, 1)
	go func() {
		finished <- onOwnThread(func() error {
			if err := unshare(setup); err != nil {
				return err
			}
			ready <- unix.Gettid()
			<-keep // The namespaces live as long as this thread, until a file keeps them.
			return nil
		})
	}()
	select {
	case err := <-finished:
		return err
	case thread := <-ready:
		err := n.pin(thread)
		close(keep)
		return errors.Join(err, <-finished)
	}
}

// prepare makes Dir a private mount: a mount namespace may not be seen from inside itself.
func (n Namespaces) prepare() error {
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		return fmt.Errorf("making the folder of the namespaces: %w", err)
	}
	if err := unix.Mount(n.Dir, n.Dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", n.Dir, err)
	}
	if err := unix.Mount("", n.Dir, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making %s private: %w", n.Dir, err)
	}
	for _, file := range []string{n.NetFile(), n.MountFile()} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			return fmt.Errorf("making the file of a namespace: %w", err)
		}
	}
	return nil
}

func (n Namespaces) pin(thread int) error {
	for name, file := range map[string]string{"net": n.NetFile(), "mnt": n.MountFile()} {
		source := fmt.Sprintf("/proc/%d/task/%d/ns/%s", os.Getpid(), thread, name)
		if err := unix.Mount(source, file, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keeping the %s namespace: %w", name, err)
		}
	}
	return nil
}

func unshare(setup func() error) error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making namespaces: %w", err)
	}
	// Mounts of the machine come in, ours do not go out.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("separating the mounts: %w", err)
	}
	if err := setup(); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing the mounts inside: %w", err)
	}
	return nil
}

// Run calls fn inside both namespaces, on a thread of its own: processes that
// fn starts are born inside, but goroutines that it starts are not.
func (n Namespaces) Run(fn func() error) error {
	return onOwnThread(func() error {
		network, err := os.Open(n.NetFile())
		if err != nil {
			return fmt.Errorf("opening the network namespace: %w", err)
		}
		defer network.Close()
		mounts, err := os.Open(n.MountFile())
		if err != nil {
			return fmt.Errorf("opening the mount namespace: %w", err)
		}
		defer mounts.Close()
		// A thread that shares its working folder with others may not change its mounts.
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("separating a thread: %w", err)
		}
		if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering the network namespace: %w", err)
		}
		if err := unix.Setns(int(mounts.Fd()), unix.CLONE_NEWNS); err != nil {
			return fmt.Errorf("entering the mount namespace: %w", err)
		}
		return fn()
	})
}

// Kill ends every process inside either namespace and returns when they are
// gone, or with an error when ctx ends first. This process is never inside.
func (n Namespaces) Kill(ctx context.Context) error {
	namespaces := map[string]uint64{}
	for name, file := range map[string]string{"net": n.NetFile(), "mnt": n.MountFile()} {
		var kept, own unix.Stat_t
		if !isNamespace(file) || unix.Stat(file, &kept) != nil {
			continue
		}
		if err := unix.Stat("/proc/self/ns/"+name, &own); err != nil || own.Ino == kept.Ino {
			return errors.Join(fmt.Errorf("%s keeps the machine's own namespace, in which nothing is killed", file), err)
		}
		namespaces[name] = kept.Ino
	}
	if len(namespaces) == 0 {
		return nil
	}
	var left []int
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		var err error
		if left, err = processesIn(namespaces); err != nil {
			return false, err
		}
		for _, pid := range left {
			if err := kill(pid); err != nil {
				return false, err
			}
		}
		return len(left) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("killing processes %v inside the namespaces: %w", left, err)
	}
	return nil
}

// processesIn returns the processes that are in one of the namespaces, by kind and inode.
func processesIn(namespaces map[string]uint64) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("reading the processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		for name, inode := range namespaces {
			var info unix.Stat_t
			// A process that is gone, or a zombie, is in no namespace.
			if unix.Stat(filepath.Join("/proc", entry.Name(), "ns", name), &info) == nil && info.Ino == inode {
				pids = append(pids, pid)
				break
			}
		}
	}
	return pids, nil
}

// Remove lets go of both namespaces, and of any other mount at Dir or below. They
// vanish with the last process inside. It is idempotent.
func (n Namespaces) Remove() error { return UnmountAt(n.Dir) }

func isNamespace(file string) bool {
	var info unix.Statfs_t
	return unix.Statfs(file, &info) == nil && info.Type == unix.NSFS_MAGIC
}

// onOwnThread runs fn on a thread that is thrown away afterwards, so that
// nothing else ever runs with the namespaces that fn left it in.
func onOwnThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The first thread stands for the process in /proc and cannot be thrown
			// away. While it is held here, another goroutine gets another thread.
			defer runtime.UnlockOSThread()
			result <- onOwnThread(fn)
			return
		}
		result <- fn() // Not unlocked: the thread ends with the goroutine.
	}()
	return <-result
}

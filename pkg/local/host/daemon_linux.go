// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Daemon is a program that outlives who starts it.
type Daemon struct {
	// Argv is the program, an absolute path, and its arguments.
	Argv []string
	// Env is its whole environment.
	Env []string
	// PidFile remembers the process; see Process.
	PidFile string
	// LogFile gets its output, appended.
	LogFile string
}

// Start runs the daemon in the namespaces and the cgroup, in a session of its
// own. On error nothing runs.
func Start(namespaces Namespaces, cgroups Cgroups, daemon Daemon) (Process, error) {
	log, err := os.OpenFile(daemon.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return Process{}, fmt.Errorf("opening a log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command(daemon.Argv[0], daemon.Argv[1:]...) //nolint:noctx // A daemon outlives every context.
	cmd.Env, cmd.Dir = daemon.Env, "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := namespaces.Run(cmd.Start); err != nil {
		return Process{}, fmt.Errorf("starting %s: %w", daemon.Argv[0], err)
	}
	process, err := adopt(cgroups, daemon, cmd.Process.Pid)
	if err != nil {
		err = errors.Join(err, cmd.Process.Kill())
	}
	// Should it end while this process lives, its entry in the process table goes.
	go func() { _ = cmd.Wait() }()
	return process, err
}

func adopt(cgroups Cgroups, daemon Daemon, pid int) (Process, error) {
	if err := cgroups.Enter(pid); err != nil {
		return Process{}, err
	}
	process, err := processOf(pid)
	if err != nil {
		return Process{}, fmt.Errorf("reading the start time of process %d: %w", pid, err)
	}
	if err := os.WriteFile(daemon.PidFile, []byte(process.String()), 0o644); err != nil {
		return Process{}, fmt.Errorf("writing a pid file: %w", err)
	}
	return process, nil
}

// Stop asks the process to end and, if it has not after grace, kills it. It
// returns when the process is gone, or with an error when ctx ends first. A
// process that is gone already, even if its id is in use again, is no error.
func Stop(ctx context.Context, process Process, grace time.Duration) error {
	if !process.Alive() {
		return nil
	}
	if err := signal(process.PID, unix.SIGTERM); err != nil {
		return err
	}
	gone := func(context.Context) (bool, error) { return !process.Alive(), nil }
	if err := wait.PollUntilContextTimeout(ctx, pollInterval, grace, true, gone); err == nil {
		return nil
	}
	if !process.Alive() {
		return nil
	}
	if err := signal(process.PID, unix.SIGKILL); err != nil {
		return err
	}
	if err := wait.PollUntilContextCancel(ctx, pollInterval, true, gone); err != nil {
		return fmt.Errorf("waiting for process %d to end: %w", process.PID, err)
	}
	return nil
}

// kill never reaches the first process of the machine or this one.
func kill(pid int) error {
	if pid <= 1 || pid == os.Getpid() {
		return fmt.Errorf("process %d must not be killed", pid)
	}
	return signal(pid, unix.SIGKILL)
}

func signal(pid int, number syscall.Signal) error {
	if err := unix.Kill(pid, number); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("signalling process %d: %w", pid, err)
	}
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package processtest runs programs as children of a test: they end with it,
// however it ends, and only they are ever signalled.
package processtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Process is a running child. It is safe for concurrent use.
type Process struct {
	pid    int
	exited chan struct{}
	exit   *os.ProcessState
}

// Start starts command, which the kernel kills if the test's process dies.
func Start(command *exec.Cmd) (*Process, error) {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	p := &Process{exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The death signal is sent when the thread ends that started the
		// process: keep it until the process has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			defer close(p.exited)
			// How the process ended is in its state; an error here says no more.
			p.exit, _ = command.Process.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", command.Path, err)
	}
	p.pid = command.Process.Pid
	return p, nil
}

// PID is the number by which the kernel knows the process, as long as it runs.
func (p *Process) PID() int { return p.pid }

// Exited is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Exit says how the process ended. It is called after Exited is closed.
func (p *Process) Exit() *os.ProcessState { return p.exit }

// Signal sends a signal, unless the process has ended already.
func (p *Process) Signal(signal syscall.Signal) error {
	select {
	case <-p.exited:
		return nil // its number may be another's by now
	default:
	}
	if err := syscall.Kill(p.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("sending %s to process %d: %w", signal, p.pid, err)
	}
	return nil
}

// Kill ends the process at once (SIGKILL) and waits for that.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.exited
	return nil
}

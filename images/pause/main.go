// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command pause holds a pod's namespaces open. As process 1 of a pod that shares its
// process namespace it also reaps the orphans of the other containers. SIGINT or SIGTERM
// ends it with status 0.
package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// Two channels, because a signal that finds its channel full is dropped: children
	// must not push out the order to stop.
	stop, children := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	signal.Notify(children, syscall.SIGCHLD)
	for {
		select {
		case <-stop:
			return
		case <-children:
			reap()
		}
	}
}

// reap collects every child that has ended: one SIGCHLD may stand for several.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

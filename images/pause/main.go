// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command pause holds a pod's namespaces open. As process 1 of a pod that shares its
// process namespace it also reaps the orphans of the other containers. SIGINT or SIGTERM
// ends it with status 0.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGCHLD)
	for s := range signals {
		if s != syscall.SIGCHLD {
			return
		}
		reap()
	}
}

// reap collects every child that has ended: one SIGCHLD may stand for several.
func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if pid <= 0 && err != syscall.EINTR {
			return
		}
	}
}

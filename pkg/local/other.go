// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package local

import (
	"os"
	"runtime"

	"virtualcluster.io/virtualcluster/pkg/local/host"
)

func gatherFacts(layout, Options) (facts, error) {
	return facts{os: runtime.GOOS, uid: os.Geteuid()}, nil
}

func isForeign(layout) (bool, error) { return false, host.ErrNotLinux }

func lock(string) (unlock func(), err error) { return nil, host.ErrNotLinux }

func furnish(layout, Options) error { return host.ErrNotLinux }

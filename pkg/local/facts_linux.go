// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// gatherFacts looks at the machine; see facts.
func gatherFacts(l layout, options Options) (facts, error) {
	found := facts{os: runtime.GOOS, uid: os.Geteuid()}
	found.gatherPrograms(options)
	images, err := imageFiles(options.ImagesDir)
	if err != nil {
		return found, err
	}
	found.images = len(images)
	if found.foreign, err = isForeign(l); err != nil {
		return found, err
	}
	if found.free, err = freeBytes(l.dir); err != nil {
		return found, err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return found, fmt.Errorf("reading this process's capabilities: %w", err)
	}
	found.withheld, err = withholdsSysResource(string(status))
	return found, err
}

func (f *facts) gatherPrograms(options Options) {
	for _, name := range requiredPrograms() {
		if _, err := exec.LookPath(name); err != nil && !inSystemPath(name) {
			f.missing = append(f.missing, name)
		}
	}
	for _, name := range requiredBinaries() {
		if _, err := os.Stat(filepath.Join(options.BinDir, name)); err != nil {
			f.missingBinaries = append(f.missingBinaries, name)
		}
	}
	for _, dir := range cniBinDirs() {
		if _, err := os.Stat(filepath.Join(dir, "ptp")); err == nil && f.cniBinDir == "" {
			f.cniBinDir = dir
		}
	}
}

// inSystemPath looks where programs for root are, which is not always in PATH.
func inSystemPath(name string) bool {
	for _, dir := range filepath.SplitList(daemonPath) {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// isForeign reports whether the folder holds something that no Up put there.
func isForeign(l layout) (bool, error) {
	entries, err := os.ReadDir(l.dir)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the cluster's folder: %w", err)
	}
	if _, err := os.Stat(l.stateFile()); err == nil {
		return false, nil
	}
	if len(entries) == 1 && entries[0].Name() == logsDir {
		_, err := os.Stat(l.path(logsDir, logsMark))
		return err != nil, nil // What a failed Up left.
	}
	return len(entries) > 0, nil
}

// freeBytes asks the nearest folder above that is there.
func freeBytes(dir string) (uint64, error) {
	var stat unix.Statfs_t
	err := unix.Statfs(dir, &stat)
	if errors.Is(err, unix.ENOENT) && filepath.Dir(dir) != dir {
		return freeBytes(filepath.Dir(dir))
	}
	if err != nil {
		return 0, fmt.Errorf("reading the free space below %s: %w", dir, err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// facts are what a local super cluster might leave on a machine: a line each.
type facts map[string]bool

// lookOver lists what is on the machine that a local super cluster could have made.
func lookOver() (facts, error) {
	found := facts{}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 {
			found["mount "+fields[1]] = true
		}
	}
	for kind, pattern := range map[string]string{
		"interface":         "/sys/class/net/*",
		"network namespace": "/run/netns/*",
		"run":               "/run/*",
		"pod log":           "/var/log/pods/*",
		"container log":     "/var/log/containers/*",
		"state":             "/var/lib/*",
		"cgroup v1":         "/sys/fs/cgroup/*/*",
		"cgroup v2":         "/sys/fs/cgroup/*",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil && (info.IsDir() || kind == "interface") {
				found[kind+" "+path] = true
			}
		}
	}
	for _, command := range []string{"iptables-save", "ip6tables-save"} {
		rules, err := exec.Command(command).Output()
		if errors.Is(err, exec.ErrNotFound) {
			continue // Without the program nobody can have made a rule.
		}
		for line := range strings.Lines(string(rules)) {
			if strings.HasPrefix(line, "-A") {
				found[command+" "+strings.TrimSpace(line)] = true
			}
		}
	}
	return found, addProcesses(found)
}

// addProcesses lists the processes that were started from the checkout or work in it.
func addProcesses(found facts) error {
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, path := range commands {
		command, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err != nil && strings.Contains(err.Error(), "no such process") {
			continue // It has ended since.
		}
		if err != nil {
			return err
		}
		words := strings.ReplaceAll(string(command), "\x00", " ")
		if filepath.Base(filepath.Dir(path)) != fmt.Sprint(os.Getpid()) && strings.Contains(words, localDir) {
			found["process "+filepath.Base(filepath.Dir(path))+" "+words] = true
		}
	}
	return nil
}

// leftBehind returns what is there now and was not before.
func leftBehind(before facts) ([]string, error) {
	now, err := lookOver()
	if err != nil {
		return nil, err
	}
	var left []string
	for fact := range now {
		if !before[fact] {
			left = append(left, fact)
		}
	}
	if _, err := os.Stat(localDir); err == nil {
		left = append(left, localDir)
	}
	slices.Sort(left)
	return left, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Process is one process for all time: process ids are used again, but never
// together with the same start time.
type Process struct {
	// PID is the process id.
	PID int
	// Started is when the process began, in clock ticks since the machine did.
	Started uint64
}

// ParsePidFile reads what Process.String wrote.
func ParsePidFile(content string) (Process, error) {
	fields := strings.Fields(content)
	if len(fields) != 2 {
		return Process{}, fmt.Errorf("a pid file holds two numbers, this one %q", content)
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid <= 0 {
		return Process{}, fmt.Errorf("%q is no process id", fields[0])
	}
	started, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return Process{}, fmt.Errorf("%q is no start time", fields[1])
	}
	return Process{PID: pid, Started: started}, nil
}

// String is the content of a pid file.
func (p Process) String() string { return fmt.Sprintf("%d %d\n", p.PID, p.Started) }

// Alive reports whether this very process still runs. A zombie does not.
func (p Process) Alive() bool {
	if p.PID <= 0 {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return false
	}
	started, state, err := parseStat(string(stat))
	return err == nil && started == p.Started && state != 'Z' && state != 'X'
}

// ReadPidFile reads a pid file. A file that is not there is the zero Process,
// which is never alive.
func ReadPidFile(path string) (Process, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Process{}, nil
	}
	if err != nil {
		return Process{}, fmt.Errorf("reading a pid file: %w", err)
	}
	process, err := ParsePidFile(string(content))
	if err != nil {
		return Process{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return process, nil
}

// parseStat takes start time and state out of /proc/<pid>/stat. The name of the
// program, in parentheses, may itself hold spaces and parentheses.
func parseStat(stat string) (started uint64, state byte, err error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("no program name in %q", stat)
	}
	// The first field after the name is field 3 of proc(5); the start time is field 22.
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("too few fields in %q", stat)
	}
	started, err = strconv.ParseUint(fields[19], 10, 64)
	return started, fields[0][0], err
}

// processOf returns the Process that has pid now.
func processOf(pid int) (Process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, err
	}
	started, _, err := parseStat(string(stat))
	return Process{PID: pid, Started: started}, err
}

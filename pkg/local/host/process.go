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

// Alive reports whether this very process is still there. A zombie is not,
// unless it is only the first thread that has ended.
func (p Process) Alive() bool {
	now, err := p.stat()
	return err == nil && now.started == p.Started && (now.threads > 1 || now.state != 'Z' && now.state != 'X')
}

// Ending reports whether the process is about to go: it runs no more code of
// its own, but what it held, such as ports, may not be free yet.
func (p Process) Ending() bool {
	now, err := p.stat()
	return err == nil && now.started == p.Started && (now.state == 'Z' || now.flags&flagExiting != 0)
}

// flagExiting is the kernel's PF_EXITING.
const flagExiting = 0x4

func (p Process) stat() (processStat, error) {
	if p.PID <= 0 {
		return processStat{}, os.ErrNotExist
	}
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return processStat{}, err
	}
	return parseStat(string(content))
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

// processStat is what is of use in /proc/<pid>/stat.
type processStat struct {
	started, flags, threads uint64
	state                   byte
}

// parseStat reads the content of /proc/<pid>/stat. The name of the program, in
// parentheses, may itself hold spaces and parentheses.
func parseStat(stat string) (processStat, error) {
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return processStat{}, fmt.Errorf("no program name in %q", stat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) < 20 {
		return processStat{}, fmt.Errorf("too few fields in %q", stat)
	}
	parsed := processStat{state: fields[0][0]}
	// The numbers are those of proc(5), which counts from 1 and begins with the
	// process id and the name.
	for number, into := range map[int]*uint64{9: &parsed.flags, 20: &parsed.threads, 22: &parsed.started} {
		value, err := strconv.ParseUint(fields[number-3], 10, 64)
		if err != nil {
			return processStat{}, fmt.Errorf("field %d of %q is no number", number, stat)
		}
		*into = value
	}
	return parsed, nil
}

// processOf returns the Process that has pid now.
func processOf(pid int) (Process, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, err
	}
	now, err := parseStat(string(content))
	return Process{PID: pid, Started: now.started}, err
}

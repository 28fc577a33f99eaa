// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	processtest "virtualcluster.io/virtualcluster/test/framework/process"
)

// binaries is where `make` builds programs.
const binaries = "../../bin"

// run starts one of the built programs until the benchmark ends. Its output is
// shown when the benchmark fails.
func run(b *testing.B, program string, arguments ...string) *processtest.Process {
	b.Helper()
	path, err := filepath.Abs(filepath.Join(binaries, program))
	must(b, err)
	return runFile(b, path, arguments...)
}

func runFile(b *testing.B, path string, arguments ...string) *processtest.Process {
	b.Helper()
	directory := profileDirectory()
	if directory == "" {
		directory = b.TempDir()
	}
	must(b, os.MkdirAll(directory, 0o750))
	logFile := filepath.Join(directory, filepath.Base(path)+".log")
	output, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(b, err)
	defer output.Close()
	command := exec.Command(path, arguments...)
	command.Stdout, command.Stderr = output, output
	command.Env = append(os.Environ(), "HOME="+b.TempDir()) // nobody's configuration
	process, err := processtest.Start(command)
	must(b, err)
	b.Cleanup(func() {
		must(b, process.Kill())
		if content, err := os.ReadFile(logFile); err == nil && b.Failed() {
			b.Logf("the end of the log of %s:\n%s", filepath.Base(path), content[max(0, len(content)-4<<10):])
		}
	})
	return process
}

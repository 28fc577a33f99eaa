// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package multicall is the main of the binary kube: several programs of
// Kubernetes in one file, of which the first argument names the one to run.
// Each Kubernetes minor passes the programs that it ships.
package multicall

import (
	"fmt"
	"io"
	"os"
	_ "time/tzdata" // CronJobs name time zones, and a scratch image has no zone files.

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
	"k8s.io/component-base/version"

	"virtualcluster.io/virtualcluster/kube/controlplane"
)

// Program is one of the programs in the binary.
type Program struct {
	// Name is the argument that chooses the program.
	Name string
	// Short says in a few words what it is.
	Short string
	// Run runs the program and returns the exit code of the process. It finds
	// its own arguments in os.Args[1:].
	Run func() int
}

// Command makes the Run of a program whose main is a cobra command. The
// command is built only when the program is called: constructing one registers
// flags and feature gates in process-wide tables that the others must not see.
func Command(build func() *cobra.Command) func() int {
	return func() int { return cli.Run(build()) }
}

// ControlPlane is the program that every minor has.
func ControlPlane() Program {
	return Program{"control-plane", "etcd, kube-apiserver and kube-controller-manager in one process", Command(controlplane.NewCommand)}
}

// exitUsage is the exit code for a command line that names no program.
const exitUsage = 2

// Main runs the program that os.Args[1] names and returns the exit code of the
// process. The programs parse os.Args themselves, so Main takes the name out.
func Main(programs ...Program) int {
	if len(os.Args) < 2 {
		usage(os.Stderr, programs)
		return exitUsage
	}
	name := os.Args[1]
	os.Args = append([]string{os.Args[0]}, os.Args[2:]...)
	return run(name, programs, os.Stdout, os.Stderr)
}

func run(name string, programs []Program, stdout, stderr io.Writer) int {
	switch name {
	case "help", "-h", "--help":
		usage(stderr, programs)
		return 0
	case "version", "--version":
		_, _ = fmt.Fprintln(stdout, version.Get())
		return 0
	}
	for _, program := range programs {
		if program.Name == name {
			return program.Run()
		}
	}
	_, _ = fmt.Fprintf(stderr, "kube: unknown program %q\n", name)
	usage(stderr, programs)
	return exitUsage
}

func usage(w io.Writer, programs []Program) {
	_, _ = fmt.Fprintln(w, "usage: kube PROGRAM [flags]")
	for _, program := range programs {
		_, _ = fmt.Fprintf(w, "  %-14s %s\n", program.Name, program.Short)
	}
	_, _ = fmt.Fprintf(w, "  %-14s %s\n", "version", "the version of Kubernetes")
}

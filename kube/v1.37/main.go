// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kube is the Kubernetes that the platform ships, as one multi-call
// binary: a tenant's whole control plane in one process, and the programs of
// the local super cluster. One binary means one image, whose pages all tenants
// of a node share.
//
// Called by the name kubectl it is kubectl.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	_ "time/tzdata" // CronJobs name time zones, and a scratch image has no zone files.

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl: credential plugins.
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // client metrics
	_ "k8s.io/component-base/metrics/prometheus/version"  // version metric
	"k8s.io/component-base/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"virtualcluster.io/virtualcluster/kube/controlplane"
)

// A program is built only when it is called: constructing one registers flags
// and feature gates in process-wide tables that the others must not see.
var programs = []struct {
	name, short string
	command     func() *cobra.Command
}{
	{"control-plane", "etcd, kube-apiserver and kube-controller-manager in one process", controlplane.NewCommand},
	{"scheduler", "kube-scheduler", func() *cobra.Command { return scheduler.NewSchedulerCommand() }},
	{"kubelet", "kubelet", func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) }},
	{"proxy", "kube-proxy", proxy.NewProxyCommand},
}

func main() {
	if filepath.Base(os.Args[0]) == "kubectl" {
		os.Exit(runKubectl())
	}
	if len(os.Args) < 2 {
		usage()
		os.Exit(2)
	}
	name := os.Args[1]
	// The programs parse os.Args themselves: hide the first word from them.
	os.Args = append([]string{os.Args[0]}, os.Args[2:]...)
	switch name {
	case "kubectl":
		os.Exit(runKubectl())
	case "help", "-h", "--help":
		usage()
		return
	case "version", "--version":
		fmt.Println(version.Get())
		return
	}
	for _, program := range programs {
		if program.name == name {
			os.Exit(cli.Run(program.command()))
		}
	}
	fmt.Fprintf(os.Stderr, "kube: unknown program %q\n", name)
	usage()
	os.Exit(2)
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: kube PROGRAM [flags]")
	for _, program := range programs {
		fmt.Fprintf(os.Stderr, "  %-14s %s\n", program.name, program.short)
	}
	fmt.Fprintf(os.Stderr, "  %-14s %s\n", "kubectl", "kubectl")
}

// runKubectl runs kubectl as its own main does: the verbosity is needed before
// the command exists, because plugins are looked up while it is built.
func runKubectl() int {
	// An unparsable verbosity is reported by kubectl's own flag parsing.
	_, _ = logs.GlogSetter(kubectl.GetLogVerbosity(os.Args))
	command := kubectl.NewDefaultKubectlCommand()
	if err := cli.RunNoErrOutput(command); err != nil {
		kubectlutil.CheckErr(err)
		return 1
	}
	return 0
}

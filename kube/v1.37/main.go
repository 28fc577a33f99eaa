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
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl: credential plugins.
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"virtualcluster.io/virtualcluster/kube/controlplane/multicall"
)

func main() {
	if filepath.Base(os.Args[0]) == "kubectl" {
		os.Exit(runKubectl())
	}
	os.Exit(multicall.Main(
		multicall.ControlPlane(),
		multicall.Program{Name: "scheduler", Short: "kube-scheduler", Run: multicall.Command(
			func() *cobra.Command { return scheduler.NewSchedulerCommand() })},
		multicall.Program{Name: "kubelet", Short: "kubelet", Run: multicall.Command(
			func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) })},
		multicall.Program{Name: "proxy", Short: "kube-proxy", Run: multicall.Command(proxy.NewProxyCommand)},
		multicall.Program{Name: "kubectl", Short: "kubectl", Run: runKubectl},
	))
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

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command vn-agent keeps a virtual node in the control plane of each VirtualCluster and
// serves that node's kubelet API.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/command"
	"virtualcluster.io/virtualcluster/pkg/vnagent"
)

func main() {
	err := command.Run("vn-agent", os.Args[1:], os.Stderr, &configv1alpha1.VNAgentConfiguration{}, vnagent.NewManager)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vn-agent:", err)
		os.Exit(1)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command vc-manager provisions the control planes of VirtualClusters.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/command"
	"virtualcluster.io/virtualcluster/pkg/controlplane"
)

func main() {
	err := command.Run("vc-manager", os.Args[1:], os.Stderr, &configv1alpha1.VCManagerConfiguration{}, controlplane.NewManager)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vc-manager:", err)
		os.Exit(1)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command vc-gateway leads clients to the control planes of VirtualClusters at
// one address for all, by the name that they ask for.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/command"
	"virtualcluster.io/virtualcluster/pkg/gateway"
)

func main() {
	err := command.Run("vc-gateway", os.Args[1:], os.Stderr, &configv1alpha1.GatewayConfiguration{}, gateway.NewManager)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vc-gateway:", err)
		os.Exit(1)
	}
}

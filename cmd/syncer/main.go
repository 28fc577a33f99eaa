// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command syncer realises the objects of every VirtualCluster in the super cluster and
// reports back what becomes of them.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/command"
	"virtualcluster.io/virtualcluster/pkg/syncer"
)

func main() {
	syncer.LimitProcessors()
	err := command.Run("syncer", os.Args[1:], os.Stderr, &configv1alpha1.SyncerConfiguration{}, syncer.NewManager)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "syncer:", err)
		os.Exit(1)
	}
}

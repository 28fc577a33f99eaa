// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kube is a tenant's control plane of Kubernetes 1.36, in one process.
// It is called like the binary of the newest minor, which has more programs.
package main

import (
	"os"

	"virtualcluster.io/virtualcluster/kube/controlplane/multicall"
)

func main() { os.Exit(multicall.Main(multicall.ControlPlane())) }

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
)

// diagnose prints what helps to understand a failed run, before the cluster goes.
func diagnose() {
	for _, args := range [][]string{
		{"get", "vc,pods", "--all-namespaces", "-o", "wide"},
		{"get", "events", "--all-namespaces", "--field-selector", "type=Warning"},
		{"-n", platformNamespace, "logs", "deployment/vc-manager", "--tail=60"},
		{"-n", platformNamespace, "logs", "deployment/syncer", "--tail=60"},
		{"-n", platformNamespace, "logs", "deployment/vn-agent", "--tail=60"},
	} {
		output, _, err := try(context.Background(), //nolint:forbidigo // TestMain is a main: there is no test to take a context from.
			nil, "kubectl", append([]string{"--kubeconfig", superKubeconfig}, args...)...)
		fmt.Fprintf(os.Stderr, "--- kubectl %v\n%s\n", args, output)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"slices"

	nodev1 "k8s.io/api/node/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// sandboxHandler stands for the handler of every RuntimeClass that a tenant
// sees: what the nodes call their runtimes is the platform's.
const sandboxHandler = "sandbox"

// runtimeClass shows a tenant the sandboxes that its pods may name, with what
// they cost. Without it the tenant's API server refuses a pod that names one.
func runtimeClass() kind.Upward[*nodev1.RuntimeClass] {
	return kind.Upward[*nodev1.RuntimeClass]{
		Object: &nodev1.RuntimeClass{},
		Visible: func(facts kind.Facts, super *nodev1.RuntimeClass) bool {
			return slices.Contains(facts.AllowedRuntimeClasses, super.Name)
		},
		Up: func(_ kind.Env, super *nodev1.RuntimeClass, _ kind.Subject, tenant *nodev1.RuntimeClass) error {
			tenant.Handler, tenant.Overhead = sandboxHandler, super.Overhead.DeepCopy()
			tenant.Scheduling = nil // it names labels and taints of nodes
			return nil
		},
	}
}

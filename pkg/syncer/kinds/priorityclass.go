// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"strings"

	schedulingv1 "k8s.io/api/scheduling/v1"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// systemPriority begins the names that Kubernetes keeps for the pods a cluster
// cannot live without. Every API server has its own of them.
const systemPriority = "system-"

// priorityClass shows a tenant the priorities that its pods may ask for. None is
// the default for all: an API server takes but one of those, and the tenant may
// have its own.
func priorityClass() kind.Upward[*schedulingv1.PriorityClass] {
	return kind.Upward[*schedulingv1.PriorityClass]{
		Object: &schedulingv1.PriorityClass{},
		Visible: func(facts kind.Facts, super *schedulingv1.PriorityClass) bool {
			return !strings.HasPrefix(super.Name, systemPriority) && policy.Shares(facts.Sharing.PriorityClasses, super.Labels)
		},
		Up: func(_ kind.Env, super *schedulingv1.PriorityClass, _ kind.Subject, tenant *schedulingv1.PriorityClass) error {
			tenant.Value, tenant.PreemptionPolicy = super.Value, super.PreemptionPolicy
			tenant.Description, tenant.GlobalDefault = super.Description, false
			return nil
		},
	}
}

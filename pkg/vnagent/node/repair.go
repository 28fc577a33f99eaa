// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// repairPatch returns the JSON merge patch of the status subresource that makes
// live show what desired says, or nil if it does. Labels and conditions that
// desired does not speak of are left; everything else of the status that
// desired speaks of becomes exactly that.
func repairPatch(desired, live *corev1.Node) ([]byte, error) {
	repaired := live.DeepCopy()
	if repaired.Labels == nil {
		repaired.Labels = map[string]string{}
	}
	for key, value := range desired.Labels {
		repaired.Labels[key] = value
	}
	repaired.Status.Capacity = desired.Status.Capacity
	repaired.Status.Allocatable = desired.Status.Allocatable
	repaired.Status.Addresses = desired.Status.Addresses
	repaired.Status.DaemonEndpoints = desired.Status.DaemonEndpoints
	repaired.Status.NodeInfo = desired.Status.NodeInfo
	repaired.Status.Conditions = repairConditions(desired.Status.Conditions, live.Status.Conditions)
	if equality.Semantic.DeepEqual(repaired, live) {
		return nil, nil
	}
	patch, err := client.MergeFrom(live).Data(repaired)
	if err != nil {
		return nil, fmt.Errorf("computing the repair of the node: %w", err)
	}
	return patch, nil
}

// repairConditions puts the conditions of desired that differ in place of
// live's. Times are not compared: heartbeats move them.
func repairConditions(desired, live []corev1.NodeCondition) []corev1.NodeCondition {
	wanted := make(map[corev1.NodeConditionType]corev1.NodeCondition, len(desired))
	for _, condition := range desired {
		wanted[condition.Type] = condition
	}
	repaired := make([]corev1.NodeCondition, 0, len(live))
	for _, condition := range live {
		want, ours := wanted[condition.Type]
		if ours && (want.Status != condition.Status || want.Reason != condition.Reason || want.Message != condition.Message) {
			condition = want
		}
		repaired = append(repaired, condition)
		delete(wanted, condition.Type)
	}
	for _, condition := range desired {
		if _, missing := wanted[condition.Type]; missing {
			repaired = append(repaired, condition)
		}
	}
	return repaired
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// fieldManager owns the condition NodeReady, and nothing else, of a VirtualCluster's status.
const fieldManager = "vn-agent"

func condition(status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: tenancyv1alpha1.ConditionNodeReady, Status: status, Reason: reason, Message: message}
}

func waiting(message string) metav1.Condition {
	return condition(metav1.ConditionFalse, tenancyv1alpha1.ReasonWaiting, message)
}

func failed(err error) metav1.Condition {
	return condition(metav1.ConditionFalse, tenancyv1alpha1.ReasonError, err.Error())
}

// fromHealth is the condition that an agent's state amounts to.
func fromHealth(health Health, virtualCluster *tenancyv1alpha1.VirtualCluster) metav1.Condition {
	switch {
	case health.Ready:
		return condition(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady,
			"node "+tenancyv1alpha1.VirtualNodeName+" is registered and its lease is renewed")
	case !controlPlaneReady(virtualCluster):
		return waiting("waiting for " + tenancyv1alpha1.ConditionControlPlaneReady)
	case health.Trouble == "":
		return condition(metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning, "the node is being registered")
	default:
		return condition(metav1.ConditionFalse, tenancyv1alpha1.ReasonTenantUnreachable, health.Trouble)
	}
}

func controlPlaneReady(virtualCluster *tenancyv1alpha1.VirtualCluster) bool {
	return meta.IsStatusConditionTrue(virtualCluster.Status.Conditions, tenancyv1alpha1.ConditionControlPlaneReady)
}

// wasReady reports whether NodeReady is True and nothing known speaks against it.
func wasReady(virtualCluster *tenancyv1alpha1.VirtualCluster) bool {
	return controlPlaneReady(virtualCluster) &&
		meta.IsStatusConditionTrue(virtualCluster.Status.Conditions, tenancyv1alpha1.ConditionNodeReady)
}

// report applies the condition if it says something else than the VirtualCluster does.
func (r *Reconciler) report(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster, wanted metav1.Condition) error {
	wanted.LastTransitionTime = metav1.NewTime(r.options.Clock.Now())
	if present := meta.FindStatusCondition(virtualCluster.Status.Conditions, wanted.Type); present != nil {
		if present.Status == wanted.Status && present.Reason == wanted.Reason && present.Message == wanted.Message &&
			present.ObservedGeneration == virtualCluster.Generation {
			return nil
		}
		if present.Status == wanted.Status {
			wanted.LastTransitionTime = present.LastTransitionTime
		}
	}
	applied := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": tenancyv1alpha1.GroupVersion.String(),
		"kind":       "VirtualCluster",
		"metadata": map[string]any{
			"namespace": virtualCluster.Namespace,
			"name":      virtualCluster.Name,
			// Not the status of another VirtualCluster of the same name.
			"uid": string(virtualCluster.UID),
		},
		"status": map[string]any{"conditions": []any{map[string]any{
			"type":               wanted.Type,
			"status":             string(wanted.Status),
			"reason":             wanted.Reason,
			"message":            wanted.Message,
			"observedGeneration": virtualCluster.Generation,
			"lastTransitionTime": wanted.LastTransitionTime.UTC().Format(time.RFC3339),
		}}},
	}}
	err := r.options.SuperClient.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(applied),
		client.FieldOwner(fieldManager), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("applying condition %s: %w", wanted.Type, err)
	}
	return nil
}

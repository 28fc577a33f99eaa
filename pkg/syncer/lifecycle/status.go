// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// fieldManager owns the syncer's fields of a VirtualCluster's status.
const fieldManager = "syncer"

// report writes the syncer's conditions and the number of pods, if they changed.
func (r *Reconciler) report(ctx context.Context, vc *tenancyv1alpha1.VirtualCluster) error {
	pods, err := r.countPods(ctx, string(vc.UID))
	if err != nil {
		return err
	}
	conditions := slices.Clone(vc.Status.Conditions)
	wanted := r.condition(vc)
	if !r.options.Owns(string(vc.UID)) {
		return nil // what was asked meanwhile is another replica's to answer
	}
	wanted.LastTransitionTime = metav1.NewTime(r.options.Clock.Now())
	ours := []metav1.Condition{wanted}
	if deletions := r.deletions(vc); deletions != nil {
		r.tellHold(vc, deletions)
		ours = append(ours, *deletions)
	}
	changed := false
	for i, condition := range ours {
		changed = meta.SetStatusCondition(&conditions, condition) || changed
		ours[i] = *meta.FindStatusCondition(conditions, condition.Type)
	}
	if !changed && vc.Status.Pods != nil && *vc.Status.Pods == pods {
		return nil
	}
	return r.apply(ctx, vc, ours, pods)
}

// condition says whether the tenant takes part in the sync.
func (r *Reconciler) condition(vc *tenancyv1alpha1.VirtualCluster) metav1.Condition {
	condition := metav1.Condition{
		Type: tenancyv1alpha1.ConditionSyncerReady, Status: metav1.ConditionFalse, ObservedGeneration: vc.Generation,
	}
	tenant, err := r.options.Connections.State(client.ObjectKeyFromObject(vc))
	before := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionSyncerReady)
	wasReady := before != nil && before.Status == metav1.ConditionTrue
	switch {
	case r.starting.isStarting(vc, tenant, err, r.options.Synced, r.options.Clock) && wasReady:
		return *before
	case tenant != nil && r.options.Synced(tenant.ID):
		condition.Status, condition.Reason = metav1.ConditionTrue, tenancyv1alpha1.ReasonReady
		condition.Message = "connected to the tenant and synced"
	case tenant != nil:
		condition.Reason, condition.Message = tenancyv1alpha1.ReasonProvisioning, "reading the tenant's objects for the first time"
	case err != nil && (wasReady || isUnreachable(vc)):
		condition.Reason, condition.Message = tenancyv1alpha1.ReasonTenantUnreachable, err.Error()
	default:
		condition.Reason = tenancyv1alpha1.ReasonWaiting
		condition.Message = "waiting for condition " + tenancyv1alpha1.ConditionControlPlaneReady
		if err != nil {
			condition.Message = "connecting: " + err.Error()
		}
	}
	return condition
}

// isUnreachable reports that the tenant was unreachable before: it stays so
// until it is connected, whatever the latest attempt said.
func isUnreachable(vc *tenancyv1alpha1.VirtualCluster) bool {
	condition := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionSyncerReady)
	return condition != nil && condition.Reason == tenancyv1alpha1.ReasonTenantUnreachable
}

// countPods counts the tenant's pods in the super cluster's cache.
func (r *Reconciler) countPods(ctx context.Context, id string) (int32, error) {
	var pods corev1.PodList
	// Only counted: a copy of every pod every few seconds would be for nothing.
	if err := r.options.SuperClient.List(ctx, &pods, client.MatchingFields{tenantField: id}, client.UnsafeDisableDeepCopy); err != nil {
		return 0, fmt.Errorf("counting pods: %w", err)
	}
	return int32(len(pods.Items)), nil //nolint:gosec // bounded by what a cluster holds.
}

// apply writes the syncer's part of the status, and nothing else.
func (r *Reconciler) apply(ctx context.Context, vc *tenancyv1alpha1.VirtualCluster, ours []metav1.Condition, pods int32) error {
	conditions := make([]any, 0, len(ours))
	for i := range ours {
		condition, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&ours[i])
		if err != nil {
			return fmt.Errorf("encoding a condition: %w", err)
		}
		conditions = append(conditions, condition)
	}
	patch := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": vc.Name, "namespace": vc.Namespace, "uid": string(vc.UID)},
		"status":   map[string]any{"conditions": conditions, "pods": int64(pods)},
	}}
	patch.SetGroupVersionKind(tenancyv1alpha1.GroupVersion.WithKind("VirtualCluster"))
	err := r.options.SuperClient.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(patch),
		client.FieldOwner(fieldManager), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("applying the status: %w", err)
	}
	return nil
}

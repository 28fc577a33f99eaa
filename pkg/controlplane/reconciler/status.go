// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// ownConditions are the conditions that vc-manager writes, in the order in
// which they become True. Ready is apart: it summarises. So is UpToDate, for
// which it does not wait.
func ownConditions() []string {
	return []string{
		tenancyv1alpha1.ConditionClassResolved,
		tenancyv1alpha1.ConditionNetworkAllocated,
		tenancyv1alpha1.ConditionCertificatesReady,
		tenancyv1alpha1.ConditionControlPlaneReady,
	}
}

// foreignConditions are the conditions that others write and Ready waits for.
func foreignConditions() []string {
	return []string{tenancyv1alpha1.ConditionSyncerReady, tenancyv1alpha1.ConditionNodeReady}
}

// maxMessage limits a condition's message; errors can be long.
const maxMessage = 1024

// ownStatus returns the part of the status that vc-manager owns, as a copy.
func ownStatus(virtualCluster *tenancyv1alpha1.VirtualCluster) tenancyv1alpha1.VirtualClusterStatus {
	status := *virtualCluster.Status.DeepCopy()
	status.Pods = nil
	own := append(ownConditions(), tenancyv1alpha1.ConditionReady, tenancyv1alpha1.ConditionUpToDate)
	status.Conditions = slices.DeleteFunc(status.Conditions, func(c metav1.Condition) bool {
		return !slices.Contains(own, c.Type)
	})
	return status
}

func (s *scope) setTrue(condition string, now clock.PassiveClock) {
	s.set(condition, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady, s.remarks[condition], now)
}

func (s *scope) setFalse(condition, reason, message string, now clock.PassiveClock) {
	s.set(condition, metav1.ConditionFalse, reason, message, now)
}

func (s *scope) set(condition string, status metav1.ConditionStatus, reason, message string, now clock.PassiveClock) {
	changed := metav1.Condition{
		Type: condition, Status: status, Reason: reason, Message: cut(message, maxMessage),
		ObservedGeneration: s.virtualCluster.Generation,
	}
	existing := meta.FindStatusCondition(s.status.Conditions, condition)
	if existing == nil || existing.Status != status {
		changed.LastTransitionTime = metav1.NewTime(now.Now()).Rfc3339Copy()
	}
	meta.SetStatusCondition(&s.status.Conditions, changed)
}

// cut returns the beginning of s, of at most longest bytes and whole characters.
func cut(s string, longest int) string {
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest], "")
}

// summarize sets Ready from the other conditions. The phases that did not run
// leave their conditions as they were; where there is none yet, it says that
// an earlier one is waited for.
func (s *scope) summarize(now clock.PassiveClock) {
	var first *metav1.Condition
	for _, condition := range ownConditions() {
		existing := meta.FindStatusCondition(s.status.Conditions, condition)
		if existing == nil && first != nil {
			s.setFalse(condition, tenancyv1alpha1.ReasonWaiting, "waiting for condition "+first.Type, now)
		}
		if existing != nil && existing.Status != metav1.ConditionTrue && first == nil {
			first = existing.DeepCopy()
		}
	}
	if first != nil {
		s.setFalse(tenancyv1alpha1.ConditionReady, first.Reason, first.Type+": "+first.Message, now)
		return
	}
	for _, condition := range foreignConditions() {
		existing := meta.FindStatusCondition(s.virtualCluster.Status.Conditions, condition)
		if existing == nil {
			s.setFalse(tenancyv1alpha1.ConditionReady, tenancyv1alpha1.ReasonWaiting, "waiting for condition "+condition, now)
			return
		}
		if existing.Status != metav1.ConditionTrue {
			message := fmt.Sprintf("waiting for condition %s (%s: %s)", condition, existing.Reason, existing.Message)
			s.setFalse(tenancyv1alpha1.ConditionReady, tenancyv1alpha1.ReasonWaiting, message, now)
			return
		}
	}
	s.setTrue(tenancyv1alpha1.ConditionReady, now)
}

// applyStatus tells the API server the status if it differs from what is
// stored, and then tells people which conditions changed. The UID keeps it
// from a namesake that was created in the meantime.
func (r *Reconciler) applyStatus(ctx context.Context, s *scope) error {
	if equality.Semantic.DeepEqual(s.status, s.stored) {
		return nil
	}
	status, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&s.status)
	if err != nil {
		return fmt.Errorf("encoding the status: %w", err)
	}
	configuration := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": tenancyv1alpha1.GroupVersion.String(),
		"kind":       "VirtualCluster",
		"metadata": map[string]any{
			"namespace": s.virtualCluster.Namespace, "name": s.virtualCluster.Name, "uid": string(s.virtualCluster.UID),
		},
		"status": status,
	}}
	err = r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(configuration),
		client.FieldOwner(FieldManager), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying the status: %w", err)
	}
	recordTransitions(ctx, r.Recorder, s.virtualCluster, s.stored.Conditions, s.status.Conditions)
	recordRotation(ctx, r.Recorder, s.virtualCluster, s.stored, s.status)
	s.stored = *s.status.DeepCopy()
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
)

// Record returns what a VirtualCluster says about held deletions. What an
// annotation says that is no time counts for nothing, and is logged.
func Record(ctx context.Context, reader client.Reader, key types.NamespacedName) (engine.HoldRecord, error) {
	var vc tenancyv1alpha1.VirtualCluster
	if err := reader.Get(ctx, key, &vc); err != nil {
		return engine.HoldRecord{}, fmt.Errorf("getting the virtual cluster: %w", err)
	}
	var record engine.HoldRecord
	condition := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionDeletionsSynced)
	if condition != nil && condition.Status == metav1.ConditionFalse {
		record.Reason, record.Since = condition.Reason, condition.LastTransitionTime.UTC()
	}
	if value := vc.Annotations[tenancyv1alpha1.AnnotationAllowDeletions]; value != "" {
		allowed, err := time.Parse(time.RFC3339, value)
		if err != nil {
			ctrl.LoggerFrom(ctx).Info("The annotation is not a time as in RFC 3339", "annotation", tenancyv1alpha1.AnnotationAllowDeletions, "value", value)
		}
		record.Allowed = allowed
	}
	return record, nil
}

// deletions returns the condition DeletionsSynced, or nil while it is unknown. What
// was known of a tenant that is not connected stays as it was.
func (r *Reconciler) deletions(vc *tenancyv1alpha1.VirtualCluster) *metav1.Condition {
	hold, known := r.options.Held(string(vc.UID))
	if !known {
		return meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionDeletionsSynced)
	}
	condition := &metav1.Condition{
		Type: tenancyv1alpha1.ConditionDeletionsSynced, ObservedGeneration: vc.Generation,
		LastTransitionTime: metav1.NewTime(r.options.Clock.Now()),
		Status:             metav1.ConditionTrue, Reason: tenancyv1alpha1.ReasonReady, Message: "what is deleted in the tenant is deleted in the super cluster",
	}
	if hold != nil {
		// The time is the hold's own: an operator names it to allow deletions, and
		// another process goes on from it.
		condition.Status, condition.Reason, condition.Message = metav1.ConditionFalse, hold.Reason, hold.Message
		condition.LastTransitionTime = metav1.NewTime(hold.Since)
	}
	return condition
}

// tellHold writes a Warning event when deletions begin to be held.
func (r *Reconciler) tellHold(vc *tenancyv1alpha1.VirtualCluster, condition *metav1.Condition) {
	before := meta.FindStatusCondition(vc.Status.Conditions, condition.Type)
	if condition.Status == metav1.ConditionFalse && (before == nil || before.Reason != condition.Reason) {
		r.options.Recorder.Eventf(vc, nil, corev1.EventTypeWarning, condition.Reason, "HoldDeletions", "%s", condition.Message)
	}
}

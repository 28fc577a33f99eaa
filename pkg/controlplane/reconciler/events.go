// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/log"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// actionReconcile is the action that every event of vc-manager reports on.
const actionReconcile = "Reconcile"

// transition is an event about a condition.
type transition struct {
	eventType, reason, message string
}

// maxNote is the most that the API server takes as the note of an event, in bytes.
const maxNote = 1024

// recordTransitions logs, and writes as an event, what transitions returns.
// Called only after the status was stored, so a retry does not repeat it.
func recordTransitions(ctx context.Context, recorder events.EventRecorder, virtualCluster *tenancyv1alpha1.VirtualCluster, before, after []metav1.Condition) {
	for _, t := range transitions(before, after) {
		log.FromContext(ctx).Info("Virtual cluster changed", "type", t.eventType, "reason", t.reason, "message", t.message)
		recorder.Eventf(virtualCluster, nil, t.eventType, t.reason, actionReconcile, "%s", cut(t.message, maxNote))
	}
}

// transitions returns what is worth an event: a condition that became True,
// and trouble that is new. That something is still being made is not.
func transitions(before, after []metav1.Condition) []transition {
	var out []transition
	for _, now := range after {
		was := meta.FindStatusCondition(before, now.Type)
		if was != nil && was.Status == now.Status && was.Reason == now.Reason {
			continue
		}
		switch {
		case now.Status == metav1.ConditionTrue && now.Reason == tenancyv1alpha1.ReasonVersionDeprecated:
			out = append(out, transition{corev1.EventTypeWarning, now.Reason, now.Message})
		case now.Status == metav1.ConditionTrue:
			out = append(out, transition{corev1.EventTypeNormal, now.Type, "condition " + now.Type + " is True"})
		case now.Reason == tenancyv1alpha1.ReasonDeleting:
			out = append(out, transition{corev1.EventTypeNormal, now.Reason, now.Message})
		case isChange(now.Reason):
			out = append(out, transition{corev1.EventTypeNormal, now.Reason, now.Type + ": " + now.Message})
		case now.Type != tenancyv1alpha1.ConditionReady && isTrouble(now.Reason):
			out = append(out, transition{corev1.EventTypeWarning, now.Reason, now.Type + ": " + now.Message})
		}
	}
	return out
}

// isChange reports whether a reason is about a change that is carried out as asked.
func isChange(reason string) bool {
	return slices.Contains([]string{tenancyv1alpha1.ReasonScaling, tenancyv1alpha1.ReasonRollingOut}, reason)
}

func isTrouble(reason string) bool {
	return !slices.Contains([]string{
		tenancyv1alpha1.ReasonProvisioning, tenancyv1alpha1.ReasonWaiting, tenancyv1alpha1.ReasonDisabled,
		tenancyv1alpha1.ReasonRollingOut, tenancyv1alpha1.ReasonScaling, tenancyv1alpha1.ReasonPaused,
	}, reason)
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// fieldManager owns the condition CustomResourcesReady.
const fieldManager = "syncer-custom-resources"

// maxMessage keeps the condition's message within what the API server takes.
const maxMessage = 4096

// report writes the condition CustomResourcesReady, if it changed. A tenant
// whose class has no rules has no such condition. Nothing is said before both
// sides' definitions are known: a restart is no news.
func (r *Runner) report(ctx context.Context, t *tenant) {
	if len(t.rules) > 0 && (!r.super.known() || !t.definitions.known()) {
		return
	}
	var vc tenancyv1alpha1.VirtualCluster
	superClient := r.options.Super.GetClient()
	if err := superClient.Get(ctx, t.VirtualCluster, &vc); err != nil || string(vc.UID) != t.ID {
		return // gone, or another one: there is nobody to tell
	}
	present := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionCustomResourcesReady)
	if !t.ruled {
		if present != nil {
			r.apply(ctx, &vc, nil)
		}
		return
	}
	conditions := append([]metav1.Condition(nil), vc.Status.Conditions...)
	wanted := t.condition()
	wanted.LastTransitionTime, wanted.ObservedGeneration = metav1.NewTime(r.options.Clock.Now()), vc.Generation
	if meta.SetStatusCondition(&conditions, wanted) {
		r.apply(ctx, &vc, meta.FindStatusCondition(conditions, wanted.Type))
	}
}

// condition says which rules are in force. That the tenant lacks a kind is no
// trouble: it may never want it.
func (t *tenant) condition() metav1.Condition {
	condition := metav1.Condition{
		Type: tenancyv1alpha1.ConditionCustomResourcesReady, Status: metav1.ConditionTrue, Reason: tenancyv1alpha1.ReasonReady,
		Message: fmt.Sprintf("%d of %d rules are in force", t.inForce(), len(t.rules)),
	}
	if len(t.waits) > 0 {
		condition.Message += "; " + strings.Join(t.waits, "; ")
	}
	if len(t.troubles) > 0 {
		condition.Status, condition.Reason = metav1.ConditionFalse, tenancyv1alpha1.ReasonCustomResourceUnavailable
		condition.Message = strings.Join(t.troubles, "; ")
	}
	if len(condition.Message) > maxMessage {
		condition.Message = strings.ToValidUTF8(condition.Message[:maxMessage], "")
	}
	return condition
}

// inForce counts the runs that the tenant takes part in.
func (t *tenant) inForce() int {
	n := 0
	for _, present := range t.engaged {
		if present.gone.IsZero() {
			n++
		}
	}
	return n
}

// apply writes the condition, or takes it away.
func (r *Runner) apply(ctx context.Context, vc *tenancyv1alpha1.VirtualCluster, condition *metav1.Condition) {
	log := ctrl.LoggerFrom(ctx).WithValues("virtualCluster", client.ObjectKeyFromObject(vc))
	content := map[string]any{
		"metadata": map[string]any{"name": vc.Name, "namespace": vc.Namespace, "uid": string(vc.UID)},
	}
	if condition != nil {
		asMap, err := runtime.DefaultUnstructuredConverter.ToUnstructured(condition)
		if err != nil {
			log.Error(err, "Cannot encode the condition of custom resources")
			return
		}
		content["status"] = map[string]any{"conditions": []any{asMap}}
		log.Info("Custom resources of a tenant", "status", condition.Status, "message", condition.Message)
	}
	patch := &unstructured.Unstructured{Object: content}
	patch.SetGroupVersionKind(tenancyv1alpha1.GroupVersion.WithKind("VirtualCluster"))
	err := r.options.Super.GetClient().Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(patch),
		client.FieldOwner(fieldManager), client.ForceOwnership)
	if client.IgnoreNotFound(err) != nil {
		log.Error(err, "Cannot write the condition of custom resources")
	}
}

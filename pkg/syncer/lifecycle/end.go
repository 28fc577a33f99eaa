// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
)

const (
	// endGrace is the longest that a pod may take to stop when its cluster is deleted.
	endGrace = 10 * time.Second
	// endInterval is the time between two looks at what is left.
	endInterval = 500 * time.Millisecond
)

// takesPart says whether the engine works for the tenant, or would as soon as it can reach it.
func (r *Reconciler) takesPart(vc *tenancyv1alpha1.VirtualCluster) bool {
	tenant, trouble := r.options.Connections.State(client.ObjectKeyFromObject(vc))
	return tenant != nil || trouble != nil
}

// end removes everything that carries the tenant's stamp and lets the
// VirtualCluster go when nothing is left. What is left is read live.
func (r *Reconciler) end(ctx context.Context, vc *tenancyv1alpha1.VirtualCluster) (reconcile.Result, error) {
	if !controllerutil.ContainsFinalizer(vc, tenancyv1alpha1.FinalizerSyncer) {
		return reconcile.Result{}, nil
	}
	if r.takesPart(vc) {
		// What is removed now could be written again.
		return reconcile.Result{RequeueAfter: endInterval / 5}, nil
	}
	left, err := r.removeAll(ctx, string(vc.UID))
	if err != nil {
		return reconcile.Result{}, err
	}
	if left {
		return reconcile.Result{RequeueAfter: endInterval}, nil
	}
	before := vc.DeepCopy()
	controllerutil.RemoveFinalizer(vc, tenancyv1alpha1.FinalizerSyncer)
	return reconcile.Result{}, r.patchFinalizers(ctx, before, vc)
}

// removeAll deletes the tenant's pods, with a short grace, and when they are
// gone its namespaces, which take everything else with them: a namespace that
// is deleted with its pods waits for half of their grace, however soon they
// stop. It reports whether anything is left.
func (r *Reconciler) removeAll(ctx context.Context, id string) (left bool, err error) {
	selector := client.MatchingLabelsSelector{Selector: identity.TenantSelector(id)}
	var pods corev1.PodList
	if err := r.options.SuperReader.List(ctx, &pods, selector); err != nil {
		return false, fmt.Errorf("listing super pods: %w", err)
	}
	for i := range pods.Items {
		if !isStamped(&pods.Items[i], id) {
			continue
		}
		left = true
		if err := r.remove(ctx, &pods.Items[i], podGrace(&pods.Items[i])); err != nil {
			return false, err
		}
	}
	if left {
		return true, nil
	}
	var namespaces corev1.NamespaceList
	if err := r.options.SuperReader.List(ctx, &namespaces, selector); err != nil {
		return false, fmt.Errorf("listing super namespaces: %w", err)
	}
	for i := range namespaces.Items {
		if !isStamped(&namespaces.Items[i], id) {
			continue
		}
		left = true
		if err := r.remove(ctx, &namespaces.Items[i], nil); err != nil {
			return false, err
		}
	}
	return left, nil
}

// isStamped reports a complete stamp of the tenant. A label alone, which
// somebody may have copied, is no reason to delete.
func isStamped(object client.Object, id string) bool {
	owner, ok := identity.Of(object)
	return ok && owner.TenantID == id
}

// podGrace is the pod's own grace, at most endGrace.
func podGrace(superPod *corev1.Pod) *int64 {
	grace := int64(endGrace / time.Second)
	if own := superPod.Spec.TerminationGracePeriodSeconds; own != nil && *own < grace {
		grace = *own
	}
	return &grace
}

// remove deletes an object that carries the tenant's stamp, unless that has
// been asked for, at least as urgently, before.
func (r *Reconciler) remove(ctx context.Context, object client.Object, grace *int64) error {
	if held := object.GetDeletionGracePeriodSeconds(); !object.GetDeletionTimestamp().IsZero() &&
		(grace == nil || held == nil || *held <= *grace) {
		return nil
	}
	uid := object.GetUID()
	options := []client.DeleteOption{client.Preconditions{UID: &uid}}
	if grace != nil {
		options = append(options, client.GracePeriodSeconds(*grace))
	}
	if err := r.options.SuperClient.Delete(ctx, object, options...); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting super %T %s: %w", object, object.GetName(), err)
	}
	return nil
}

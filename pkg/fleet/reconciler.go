// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// concurrentReconciles is how many VirtualClusters are looked at side by side.
	concurrentReconciles = 8
	// leavingInterval is the time between two looks at a member that is leaving.
	leavingInterval = 100 * time.Millisecond
)

// SetupWithManager registers the reconciler that decides who takes part, and
// the watch of the kubeconfigs.
func (f *Fleet) SetupWithManager(mgr ctrl.Manager) error {
	if err := f.watchKubeconfigs(mgr); err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("fleet").
		For(&tenancyv1alpha1.VirtualCluster{}).
		Watches(&tenancyv1alpha1.VirtualClusterClass{}, handler.EnqueueRequestsFromMapFunc(f.usersOfClass)).
		WatchesRawSource(source.Channel(f.looks, handler.TypedEnqueueRequestsFromMapFunc(
			func(ctx context.Context, _ struct{}) []reconcile.Request {
				return f.requests(ctx, func(*tenancyv1alpha1.VirtualCluster) bool { return true })
			}))).
		// To stop a member is to wait for what it is doing; the others go on.
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrentReconciles}).
		Complete(f)
}

// usersOfClass maps a class to the VirtualClusters that name it.
func (f *Fleet) usersOfClass(ctx context.Context, class client.Object) []reconcile.Request {
	return f.requests(ctx, func(vc *tenancyv1alpha1.VirtualCluster) bool { return vc.Spec.ClassName == class.GetName() })
}

// requests returns the VirtualClusters that are selected.
func (f *Fleet) requests(ctx context.Context, selects func(*tenancyv1alpha1.VirtualCluster) bool) []reconcile.Request {
	var virtualClusters tenancyv1alpha1.VirtualClusterList
	if err := f.options.MetaReader.List(ctx, &virtualClusters); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Cannot list virtual clusters")
		return nil
	}
	var requests []reconcile.Request
	for i := range virtualClusters.Items {
		if vc := &virtualClusters.Items[i]; selects(vc) {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(vc)})
		}
	}
	return requests
}

// Reconcile lets a VirtualCluster join or leave. It dials nobody.
func (f *Fleet) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	select {
	case <-f.started:
	case <-ctx.Done():
		return reconcile.Result{}, ctx.Err()
	}
	var vc tenancyv1alpha1.VirtualCluster
	err := f.options.MetaReader.Get(ctx, req.NamespacedName, &vc)
	if apierrors.IsNotFound(err) {
		f.leave(req.NamespacedName, "")
		return reconcile.Result{}, nil
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	if !vc.DeletionTimestamp.IsZero() || !controllerutil.ContainsFinalizer(&vc, tenancyv1alpha1.FinalizerSyncer) ||
		!f.options.Owns(string(vc.UID)) {
		f.leave(req.NamespacedName, "")
		return reconcile.Result{}, nil
	}
	f.leave(req.NamespacedName, string(vc.UID)) // a namesake of a deleted one
	if !f.mayJoin(req.NamespacedName, &vc) {
		return reconcile.Result{}, nil
	}
	facts, err := factsOf(ctx, f.options.MetaReader, &vc)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !f.join(req.NamespacedName, string(vc.UID), vc.Status.ControlPlane.Namespace, readySince(&vc), facts) {
		return reconcile.Result{RequeueAfter: leavingInterval}, nil
	}
	return reconcile.Result{}, nil
}

// mayJoin reports whether there is something to connect to. A member stays one
// when the condition turns False later: its own probe knows better.
func (f *Fleet) mayJoin(key types.NamespacedName, vc *tenancyv1alpha1.VirtualCluster) bool {
	if vc.Status.ControlPlane == nil || vc.Status.Network == nil {
		return false
	}
	f.mu.Lock()
	_, member := f.members[key]
	f.mu.Unlock()
	return member || meta.IsStatusConditionTrue(vc.Status.Conditions, tenancyv1alpha1.ConditionControlPlaneReady)
}

// readySince returns when the control plane became ready, or zero if it is not.
func readySince(vc *tenancyv1alpha1.VirtualCluster) metav1.Time {
	condition := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionControlPlaneReady)
	if condition == nil || condition.Status != metav1.ConditionTrue {
		return metav1.Time{}
	}
	return condition.LastTransitionTime
}

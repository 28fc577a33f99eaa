// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Back-off of one VirtualCluster's errors. There is no limit that several
// share: one that fails must not delay the others.
const (
	backoffBase = 200 * time.Millisecond
	backoffMax  = 30 * time.Second
)

// Indexes of the cache of VirtualClusters.
const (
	indexUID   = "metadata.uid"
	indexClass = "spec.className"
)

// SetupWithManager adds the reconciler to mgr with everything that wakes it.
// Call it once.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, concurrency int) error {
	indexer := mgr.GetFieldIndexer()
	for field, value := range map[string]func(*tenancyv1alpha1.VirtualCluster) string{
		indexUID:   func(vc *tenancyv1alpha1.VirtualCluster) string { return string(vc.UID) },
		indexClass: func(vc *tenancyv1alpha1.VirtualCluster) string { return vc.Spec.ClassName },
	} {
		err := indexer.IndexField(ctx, &tenancyv1alpha1.VirtualCluster{}, field, func(object client.Object) []string {
			virtualCluster, ok := object.(*tenancyv1alpha1.VirtualCluster)
			if !ok {
				return nil
			}
			return []string{value(virtualCluster)}
		})
		if err != nil {
			return err
		}
	}
	byTenant := handler.EnqueueRequestsFromMapFunc(r.tenantOf)
	return ctrl.NewControllerManagedBy(mgr).
		Named("virtualcluster").
		For(&tenancyv1alpha1.VirtualCluster{}, builder.WithPredicates(notOnlyPods())).
		Watches(&tenancyv1alpha1.VirtualClusterClass{}, handler.EnqueueRequestsFromMapFunc(r.usersOf)).
		Watches(&corev1.Namespace{}, byTenant).
		Watches(&corev1.Secret{}, byTenant).
		Watches(&corev1.Service{}, byTenant).
		Watches(&appsv1.StatefulSet{}, byTenant).
		Watches(&corev1.Pod{}, byTenant).
		Watches(&corev1.ConfigMap{}, byTenant).
		Watches(&networkingv1.NetworkPolicy{}, byTenant).
		Watches(&policyv1.PodDisruptionBudget{}, byTenant, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.exposedOnNodes), builder.WithPredicates(nodeAddressesChanged())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](backoffBase, backoffMax),
		}).
		Complete(r)
}

// tenantOf maps an object to the VirtualCluster it was made for.
func (r *Reconciler) tenantOf(ctx context.Context, object client.Object) []reconcile.Request {
	tenant := object.GetLabels()[tenancyv1alpha1.LabelTenantID]
	if tenant == "" {
		return nil
	}
	return r.requests(ctx, nil, client.MatchingFields{indexUID: tenant})
}

// usersOf maps a class to the VirtualClusters that name it.
func (r *Reconciler) usersOf(ctx context.Context, class client.Object) []reconcile.Request {
	return r.requests(ctx, nil, client.MatchingFields{indexClass: class.GetName()})
}

// exposedOnNodes maps a node to the VirtualClusters that are reached at a
// NodePort: the nodes' addresses are in their certificates.
func (r *Reconciler) exposedOnNodes(ctx context.Context, _ client.Object) []reconcile.Request {
	var list tenancyv1alpha1.VirtualClusterClassList
	if err := r.Client.List(ctx, &list); err != nil {
		log.FromContext(ctx).Error(err, "Listing classes failed")
		return nil
	}
	classes := map[string]*tenancyv1alpha1.VirtualClusterClass{}
	for i := range list.Items {
		classes[list.Items[i].Name] = &list.Items[i]
	}
	return r.requests(ctx, func(virtualCluster *tenancyv1alpha1.VirtualCluster) bool {
		class, found := classes[virtualCluster.Spec.ClassName]
		if !found {
			return false
		}
		controlPlane, err := effectiveControlPlane(class, virtualCluster.Spec.ControlPlane)
		return err == nil && controlPlane.Exposure.Type == tenancyv1alpha1.ExposeNodePort
	})
}

func (r *Reconciler) requests(ctx context.Context, selected func(*tenancyv1alpha1.VirtualCluster) bool, options ...client.ListOption) []reconcile.Request {
	var list tenancyv1alpha1.VirtualClusterList
	if err := r.Client.List(ctx, &list, options...); err != nil {
		log.FromContext(ctx).Error(err, "Listing virtual clusters failed")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if selected == nil || selected(&list.Items[i]) {
			requests = append(requests, reconcile.Request{
				NamespacedName: types.NamespacedName{Namespace: list.Items[i].Namespace, Name: list.Items[i].Name},
			})
		}
	}
	return requests
}

// notOnlyPods drops updates that change nothing but status.pods, which the
// syncer counts and vc-manager does not read.
func notOnlyPods() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		before, ok := update.ObjectOld.(*tenancyv1alpha1.VirtualCluster)
		if !ok {
			return true
		}
		after, ok := update.ObjectNew.(*tenancyv1alpha1.VirtualCluster)
		if !ok {
			return true
		}
		return before.Generation != after.Generation ||
			!before.DeletionTimestamp.Equal(after.DeletionTimestamp) ||
			!equality.Semantic.DeepEqual(before.Annotations, after.Annotations) ||
			!equality.Semantic.DeepEqual(before.Finalizers, after.Finalizers) ||
			!equality.Semantic.DeepEqual(before.Annotations, after.Annotations) ||
			!equality.Semantic.DeepEqual(before.Status.Conditions, after.Status.Conditions)
	}}
}

// nodeAddressesChanged drops updates of nodes that change neither address nor
// readiness: a kubelet writes its node's status all the time.
func nodeAddressesChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		before, ok := update.ObjectOld.(*corev1.Node)
		if !ok {
			return true
		}
		after, ok := update.ObjectNew.(*corev1.Node)
		if !ok {
			return true
		}
		return internalIP(before) != internalIP(after) || nodeReady(before) != nodeReady(after)
	}}
}

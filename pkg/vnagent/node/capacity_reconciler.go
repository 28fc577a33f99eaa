// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// capacityInterval is the shortest time between two changes of the capacity
// that tenants see: each change is a write in every tenant.
const capacityInterval = 5 * time.Second

// CapacityReconciler keeps the capacity that virtual Nodes show equal to the
// super cluster's. Requests name super nodes, but each is about all of them.
type CapacityReconciler struct {
	superReader client.Reader
	clock       clock.PassiveClock
	shared      *sharedCapacity
	changedAt   time.Time
}

var _ reconcile.Reconciler = &CapacityReconciler{}

// Reconcile sums up the super nodes. It is not safe for concurrent use: give
// its controller one worker.
func (r *CapacityReconciler) Reconcile(ctx context.Context, _ ctrl.Request) (ctrl.Result, error) {
	if wait := capacityInterval - r.clock.Since(r.changedAt); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	changed, err := refresh(ctx, r.superReader, r.shared)
	if err != nil {
		return ctrl.Result{}, err
	}
	if changed {
		r.changedAt = r.clock.Now()
		log.FromContext(ctx).V(1).Info("capacity of the super cluster changed")
	}
	return ctrl.Result{}, nil
}

func refresh(ctx context.Context, superReader client.Reader, shared *sharedCapacity) (changed bool, err error) {
	superNodes := &corev1.NodeList{}
	if err := superReader.List(ctx, superNodes, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing super nodes: %w", err)
	}
	return shared.set(capacityOf(superNodes.Items)), nil
}

// CapacityChanged lets only those events of super nodes through that can
// change the capacity; most events of a node are heartbeats.
func CapacityChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*corev1.Node)
		after, alsoOK := e.ObjectNew.(*corev1.Node)
		if !ok || !alsoOK {
			return true
		}
		return ready(before) != ready(after) ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			before.Status.NodeInfo != after.Status.NodeInfo ||
			!equality.Semantic.DeepEqual(before.Status.Allocatable, after.Status.Allocatable)
	}}
}

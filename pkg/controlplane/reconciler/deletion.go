// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// retryDeletion is how often what is being deleted is looked at, should a
	// watch have missed its end.
	retryDeletion = time.Second
	// killSeconds is the grace of a control plane whose database is deleted
	// with it: there is nothing left to write.
	killSeconds = 1
)

// reconcileDeletion removes everything that was made for a VirtualCluster, and
// last its finalizer. It needs nothing but the VirtualCluster itself: neither
// class nor certificates.
func (r *Reconciler) reconcileDeletion(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(virtualCluster, tenancyv1alpha1.FinalizerManager) {
		return ctrl.Result{}, nil
	}
	s := newScope(virtualCluster)
	if controllerutil.ContainsFinalizer(virtualCluster, tenancyv1alpha1.FinalizerSyncer) {
		// The syncer's own finalizer removal wakes this.
		return ctrl.Result{}, r.reportDeletion(ctx, s, "the syncer is deleting the tenant's objects in the super cluster")
	}
	if err := r.reportDeletion(ctx, s, "the control plane is being deleted"); err != nil {
		return ctrl.Result{}, err
	}
	gone, err := r.removeAll(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !gone {
		return ctrl.Result{RequeueAfter: retryDeletion}, nil
	}
	before := virtualCluster.DeepCopy()
	controllerutil.RemoveFinalizer(virtualCluster, tenancyv1alpha1.FinalizerManager)
	return ctrl.Result{}, client.IgnoreNotFound(r.patchFinalizers(ctx, before, virtualCluster))
}

func (r *Reconciler) reportDeletion(ctx context.Context, s *scope, message string) error {
	s.setFalse(tenancyv1alpha1.ConditionReady, tenancyv1alpha1.ReasonDeleting, message, r.Clock)
	return r.applyStatus(ctx, s)
}

// removeAll deletes what exists and reports whether nothing does any more, as
// the API server itself says.
func (r *Reconciler) removeAll(ctx context.Context, s *scope) (gone bool, err error) {
	secretGone, err := r.remove(ctx, s.spec.UserKubeconfig(nil), &corev1.Secret{})
	if err != nil {
		return false, err
	}
	namespaceGone, err := r.remove(ctx, s.spec.Namespace(), &corev1.Namespace{})
	if err != nil || namespaceGone {
		return namespaceGone && secretGone, err
	}
	return false, r.killPods(ctx, s)
}

// remove deletes the object of desired's name if it is the same owner's, and
// reports whether there is none.
func (r *Reconciler) remove(ctx context.Context, desired, live client.Object) (gone bool, err error) {
	err = r.APIReader.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("getting %s: %w", describe(desired), err)
	}
	if !sameOwner(desired, live) {
		return true, nil
	}
	if live.GetDeletionTimestamp().IsZero() {
		err = r.Client.Delete(ctx, live, client.Preconditions{UID: ptr.To(live.GetUID())})
		if client.IgnoreNotFound(err) != nil {
			return false, fmt.Errorf("deleting %s: %w", describe(desired), err)
		}
	}
	return false, nil
}

// killPods shortens the grace of the pods, which the deletion of their
// namespace ends in their own time. Nothing replaces them: a namespace that
// is being deleted admits no new pod.
func (r *Reconciler) killPods(ctx context.Context, s *scope) error {
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return err
	}
	for i := range pods {
		pod := &pods[i]
		if ptr.Deref(pod.DeletionGracePeriodSeconds, killSeconds+1) <= killSeconds {
			continue
		}
		err := r.Client.Delete(ctx, pod, client.GracePeriodSeconds(killSeconds), client.Preconditions{UID: ptr.To(pod.UID)})
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %s: %w", describe(pod), err)
		}
	}
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=delete
// +kubebuilder:rbac:groups="",resources=persistentvolumeclaims,verbs=list;delete

const (
	// retryDeletion is how soon what is being deleted is looked at again, should
	// a watch not tell of its end; retryDeletionMax, when that has lasted long.
	retryDeletion    = 500 * time.Millisecond
	retryDeletionMax = 30 * time.Second
	// slowDeletion is how long a deletion may take before people are told what
	// it waits for: it takes a few seconds.
	slowDeletion = 30 * time.Second
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
		silent, err := r.silence(ctx, s)
		if err := errors.Join(err, r.reportDeletion(ctx, s, "the syncer is deleting the tenant's objects in the super cluster")); err != nil {
			return ctrl.Result{}, err
		}
		if !silent {
			return ctrl.Result{RequeueAfter: retryDeletion}, nil
		}
		// The syncer's own finalizer removal wakes this.
		return ctrl.Result{}, nil
	}
	left, err := r.removeEverywhere(ctx, s)
	if err != nil || left != "" {
		waited := r.Clock.Since(virtualCluster.DeletionTimestamp.Time)
		if err := errors.Join(err, r.reportDeletion(ctx, s, describeDeletion(left, err, waited))); err != nil {
			return ctrl.Result{}, err
		}
		return ctrl.Result{RequeueAfter: patience(waited, retryDeletion, retryDeletionMax)}, nil
	}
	before := virtualCluster.DeepCopy()
	controllerutil.RemoveFinalizer(virtualCluster, tenancyv1alpha1.FinalizerManager)
	if err := r.patchFinalizers(ctx, before, virtualCluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	r.Metrics.forget(s.spec.VirtualCluster)
	log.FromContext(ctx).Info("Virtual cluster is gone")
	return ctrl.Result{}, nil
}

// silence ends the API server at once: whoever has credentials of the tenant can
// do nothing with them any more, however long the syncer takes. The syncer
// needs no API server for that. What was made stays, but for the StatefulSet.
func (r *Reconciler) silence(ctx context.Context, s *scope) (done bool, err error) {
	if _, err := r.removeStatefulSet(ctx, s); err != nil {
		return false, err
	}
	return r.killPods(ctx, s)
}

func (r *Reconciler) reportDeletion(ctx context.Context, s *scope, message string) error {
	s.setFalse(tenancyv1alpha1.ConditionReady, tenancyv1alpha1.ReasonDeleting, message, r.Clock)
	return r.applyStatus(ctx, s)
}

// describeDeletion says what a deletion waits for, once that is of interest:
// each change of the message is a write.
func describeDeletion(left string, err error, waited time.Duration) string {
	const message = "the control plane is being deleted"
	switch {
	case err != nil:
		return message + ": " + err.Error()
	case waited > slowDeletion:
		return message + ": waiting for the end of " + left
	}
	return message
}

// removeEverywhere is removeAll, after what was made in an external cluster.
func (r *Reconciler) removeEverywhere(ctx context.Context, s *scope) (left string, err error) {
	if externalRef(s.virtualCluster) != nil {
		waited := r.Clock.Since(s.virtualCluster.DeletionTimestamp.Time)
		if done, err := r.leaveExternal(ctx, s, waited); err != nil || !done {
			return "the objects in the external cluster", err
		}
	}
	return r.removeAll(ctx, s)
}

// removeAll deletes what exists and reports what it waits for; that is nothing
// when nothing exists any more, as the API server itself says.
//
// The namespace alone would take everything with it, but late: its controller
// waits for a part of the pods' grace, and again for the volume claim, before
// it looks again. So what takes time goes first, in less of it.
func (r *Reconciler) removeAll(ctx context.Context, s *scope) (left string, err error) {
	secretGone, err := r.remove(ctx, s.spec.UserKubeconfig(nil), &corev1.Secret{})
	if err != nil {
		return "", err
	}
	namespace := &corev1.Namespace{}
	namespaceGone, err := r.isGone(ctx, s.spec.Namespace(), namespace)
	switch {
	case err != nil || namespaceGone && secretGone:
		return "", err
	case namespaceGone:
		return describe(s.spec.UserKubeconfig(nil)), nil
	}
	keep := retains(namespace)
	for _, part := range parts(r, keep) {
		gone, err := part.remove(ctx, s)
		if err != nil || !gone {
			return part.name + " in " + describe(s.spec.Namespace()), err
		}
	}
	if keep {
		if !secretGone {
			left = describe(s.spec.UserKubeconfig(nil))
		}
		return left, nil
	}
	_, err = r.remove(ctx, s.spec.Namespace(), namespace)
	return describeNamespace(namespace), err
}

// part is one step of a deletion.
type part struct {
	name   string
	remove func(context.Context, *scope) (bool, error)
}

// parts are what goes before the namespace, or, where the volumes are kept,
// instead of it.
func parts(r *Reconciler, keep bool) []part {
	out := []part{{"the StatefulSet", r.removeStatefulSet}, {"the pods", r.killPods}}
	if keep {
		return append(out, part{"what is not kept", r.removeBesideVolumes})
	}
	return append(out, part{"the volume claims", r.removeVolumeClaims})
}

// describeNamespace names a namespace, with what its controller says keeps it.
func describeNamespace(namespace *corev1.Namespace) string {
	out := "Namespace " + namespace.Name
	for _, condition := range namespace.Status.Conditions {
		if condition.Status == corev1.ConditionTrue {
			out += "; " + condition.Message
		}
	}
	return out
}

func (r *Reconciler) removeStatefulSet(ctx context.Context, s *scope) (gone bool, err error) {
	_, err = r.remove(ctx, s.spec.StatefulSet(""), &appsv1.StatefulSet{})
	// Its pods need not wait until it is gone: it makes no more of them.
	return err == nil, err
}

// removeVolumeClaims deletes the tenant's database.
func (r *Reconciler) removeVolumeClaims(ctx context.Context, s *scope) (gone bool, err error) {
	claims, err := r.listVolumeClaims(ctx, s)
	if err != nil {
		return false, err
	}
	for i := range claims {
		if err := r.delete(ctx, &claims[i]); err != nil {
			return false, err
		}
	}
	return len(claims) == 0, nil
}

// listVolumeClaims asks the API server itself: claims are in no cache.
func (r *Reconciler) listVolumeClaims(ctx context.Context, s *scope) ([]corev1.PersistentVolumeClaim, error) {
	var claims corev1.PersistentVolumeClaimList
	err := r.APIReader.List(ctx, &claims, client.InNamespace(s.spec.NamespaceName()), client.MatchingLabels(s.spec.Labels()))
	if err != nil {
		return nil, fmt.Errorf("listing the control plane's volume claims: %w", err)
	}
	return claims.Items, nil
}

// isGone reports whether there is no object of desired's name that is the same owner's.
func (r *Reconciler) isGone(ctx context.Context, desired, live client.Object) (bool, error) {
	err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("getting %s: %w", describe(desired), err)
	}
	return !sameOwner(desired, live), nil
}

// remove deletes the object of desired's name if it is the same owner's, and
// reports whether there is none.
func (r *Reconciler) remove(ctx context.Context, desired, live client.Object) (gone bool, err error) {
	if gone, err = r.isGone(ctx, desired, live); gone || err != nil {
		return gone, err
	}
	return false, r.delete(ctx, live)
}

// delete deletes this very object, unless it is being deleted already.
func (r *Reconciler) delete(ctx context.Context, live client.Object, options ...client.DeleteOption) error {
	if !live.GetDeletionTimestamp().IsZero() {
		return nil
	}
	options = append(options, client.Preconditions{UID: ptr.To(live.GetUID())})
	if err := r.Client.Delete(ctx, live, options...); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting %T %s: %w", live, client.ObjectKeyFromObject(live), err)
	}
	return nil
}

// killPods deletes the pods with little grace, also those that are being
// deleted with more, and reports whether there are none.
func (r *Reconciler) killPods(ctx context.Context, s *scope) (gone bool, err error) {
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return false, err
	}
	for i := range pods {
		pod := &pods[i]
		if ptr.Deref(pod.DeletionGracePeriodSeconds, killSeconds+1) <= killSeconds {
			continue
		}
		pod.DeletionTimestamp = nil
		if err := r.delete(ctx, pod, client.GracePeriodSeconds(killSeconds)); err != nil {
			return false, err
		}
	}
	return len(pods) == 0, nil
}

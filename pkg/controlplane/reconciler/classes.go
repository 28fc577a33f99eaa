// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusterclasses,verbs=patch
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusterclasses/status,verbs=patch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=servicecidrs,verbs=get

const (
	// classFieldManager owns the status of a VirtualClusterClass.
	classFieldManager = "vc-manager-class"
	// ownServiceRange is the ServiceCIDR that every API server makes of its flags.
	ownServiceRange = "kubernetes"
)

// Classes keeps the status of VirtualClusterClasses: who uses them and whether
// they can work as written. A class that is used cannot go.
type Classes struct {
	// Client and APIReader are as in Reconciler.
	Client    client.Client
	APIReader client.Reader
	// Clock tells the time of conditions.
	Clock clock.PassiveClock
}

// SetupWithManager adds the controller to mgr. Call it once.
func (c *Classes) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("classes").
		For(&tenancyv1alpha1.VirtualClusterClass{}, builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, deletionBegan()))).
		Watches(&tenancyv1alpha1.VirtualCluster{}, handler.EnqueueRequestsFromMapFunc(classOf), builder.WithPredicates(comesOrGoes())).
		WithOptions(controller.Options{
			RateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](backoffBase, backoffMax),
		}).
		Complete(c)
}

// classOf maps a VirtualCluster to its class.
func classOf(_ context.Context, object client.Object) []reconcile.Request {
	virtualCluster, ok := object.(*tenancyv1alpha1.VirtualCluster)
	if !ok {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: virtualCluster.Spec.ClassName}}}
}

// comesOrGoes drops updates: the name of a class cannot be changed.
func comesOrGoes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
}

func deletionBegan() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		return !update.ObjectOld.GetDeletionTimestamp().Equal(update.ObjectNew.GetDeletionTimestamp())
	}}
}

// Reconcile implements reconcile.Reconciler.
func (c *Classes) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	class := &tenancyv1alpha1.VirtualClusterClass{}
	if err := c.APIReader.Get(ctx, request.NamespacedName, class); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	users, err := c.users(ctx, class)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := c.ensureFinalizer(ctx, class, users > 0); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !class.DeletionTimestamp.IsZero() && users == 0 {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(c.report(ctx, class, users))
}

// users counts the virtual clusters of a class, live: whether it may go must
// not depend on how late a cache is.
func (c *Classes) users(ctx context.Context, class *tenancyv1alpha1.VirtualClusterClass) (int32, error) {
	var all tenancyv1alpha1.VirtualClusterList
	if err := c.APIReader.List(ctx, &all); err != nil {
		return 0, fmt.Errorf("listing virtual clusters: %w", err)
	}
	var count int32
	for i := range all.Items {
		if all.Items[i].Spec.ClassName == class.Name {
			count++
		}
	}
	return count, nil
}

// ensureFinalizer holds a class as long as it is used.
func (c *Classes) ensureFinalizer(ctx context.Context, class *tenancyv1alpha1.VirtualClusterClass, used bool) error {
	before := class.DeepCopy()
	changed := false
	switch {
	case used && class.DeletionTimestamp.IsZero():
		changed = controllerutil.AddFinalizer(class, tenancyv1alpha1.FinalizerClass)
	case !used:
		changed = controllerutil.RemoveFinalizer(class, tenancyv1alpha1.FinalizerClass)
	}
	if !changed {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Client.Patch(ctx, class, patch, client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("patching metadata.finalizers: %w", err)
	}
	return nil
}

// report writes the status if it is another than before.
func (c *Classes) report(ctx context.Context, class *tenancyv1alpha1.VirtualClusterClass, users int32) error {
	condition, err := c.judge(ctx, class)
	if err != nil {
		return err
	}
	condition.ObservedGeneration = class.Generation
	condition.Message = cut(condition.Message, maxMessage)
	condition.LastTransitionTime = metav1.NewTime(c.Clock.Now()).Rfc3339Copy()
	status := *class.Status.DeepCopy()
	status.ObservedGeneration, status.VirtualClusters = class.Generation, users
	meta.SetStatusCondition(&status.Conditions, condition)
	if equality.Semantic.DeepEqual(status, class.Status) {
		return nil
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&status)
	if err != nil {
		return fmt.Errorf("encoding the status: %w", err)
	}
	configuration := &unstructured.Unstructured{Object: map[string]any{
		"metadata": map[string]any{"name": class.Name, "uid": string(class.UID)},
		"status":   content,
	}}
	configuration.SetGroupVersionKind(tenancyv1alpha1.GroupVersion.WithKind("VirtualClusterClass"))
	err = c.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(configuration),
		client.FieldOwner(classFieldManager), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying the status: %w", err)
	}
	return nil
}

// judge returns the condition Ready of a class.
func (c *Classes) judge(ctx context.Context, class *tenancyv1alpha1.VirtualClusterClass) (metav1.Condition, error) {
	condition := metav1.Condition{Type: tenancyv1alpha1.ClassConditionReady, Status: metav1.ConditionFalse}
	if !class.DeletionTimestamp.IsZero() {
		condition.Reason = tenancyv1alpha1.ReasonClassDeleting
		condition.Message = "it takes no new virtual clusters, and goes when the last that names it has gone: kubectl get vc -A"
		return condition, nil
	}
	ranges, err := c.serviceRanges(ctx)
	if err != nil {
		return condition, err
	}
	if fault := classFault(class, ranges); fault != "" {
		condition.Reason, condition.Message = tenancyv1alpha1.ReasonClassInvalid, fault
		return condition, nil
	}
	condition.Status, condition.Reason = metav1.ConditionTrue, tenancyv1alpha1.ReasonReady
	return condition, nil
}

// serviceRanges returns the meta cluster's own range of ClusterIPs. A cluster
// before Kubernetes 1.33 does not tell it.
func (c *Classes) serviceRanges(ctx context.Context) ([]string, error) {
	own := &networkingv1.ServiceCIDR{}
	err := c.APIReader.Get(ctx, types.NamespacedName{Name: ownServiceRange}, own)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("getting ServiceCIDR %q: %w", ownServiceRange, err)
	}
	return own.Spec.CIDRs, nil
}

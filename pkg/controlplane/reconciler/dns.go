// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"net"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
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

const (
	// dnsWorkers is how many tenants are visited at once. A visit takes some 50 ms,
	// but up to addon.VisitTimeout where a tenant's webhook hangs: with the
	// pauses below, hundreds of such tenants leave workers for the others.
	dnsWorkers = 16
	// dnsResync is how often a DNS server that is in order is looked at. A
	// watch on every tenant would be sooner, and cost a connection for each.
	dnsResync = 2 * time.Minute
	// dnsJitter spreads the visits of tenants that were made together.
	dnsJitter = 0.2

	// How soon, and how late, one is looked at again that is being started, and
	// one that cannot be put in order.
	dnsStartSoonest, dnsStartLatest     = time.Second, time.Minute
	dnsTroubleSoonest, dnsTroubleLatest = 5 * time.Second, 5 * time.Minute
)

// DNS gives each tenant the DNS server that its class describes, and keeps it
// so. It writes the condition DNSReady. It is a controller of its own, so that a
// tenant whose API answers late delays no virtual cluster's being made, and
// Ready does not depend on it.
type DNS struct {
	// Client reads from vc-manager's cache and writes to the meta cluster.
	Client client.Client
	// APIReader reads the meta cluster itself.
	APIReader client.Reader
	// Recorder writes events.
	Recorder events.EventRecorder
	// Clock tells the time of certificates and conditions.
	Clock clock.PassiveClock
	// Dial connects to tenants' API servers.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// SetupWithManager adds the controller to mgr. Call it once, after that of
// Reconciler, whose indexes it uses.
func (d *DNS) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("dns").
		For(&tenancyv1alpha1.VirtualCluster{}, builder.WithPredicates(otherConditionChanged(tenancyv1alpha1.ConditionDNSReady))).
		Watches(&tenancyv1alpha1.VirtualClusterClass{}, handler.EnqueueRequestsFromMapFunc(d.usersOf), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: dnsWorkers,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](backoffBase, backoffMax),
		}).
		Complete(d)
}

// usersOf maps a class to the VirtualClusters that name it.
func (d *DNS) usersOf(ctx context.Context, class client.Object) []reconcile.Request {
	var list tenancyv1alpha1.VirtualClusterList
	if err := d.Client.List(ctx, &list, client.MatchingFields{indexClass: class.GetName()}); err != nil {
		log.FromContext(ctx).Error(err, "Listing virtual clusters failed")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// otherConditionChanged drops updates that change no status or reason of a
// condition but those of own, which the receiver itself writes.
func otherConditionChanged(own string) predicate.Predicate {
	states := func(object client.Object) map[string]string {
		virtualCluster, ok := object.(*tenancyv1alpha1.VirtualCluster)
		if !ok {
			return nil
		}
		out := map[string]string{}
		for _, condition := range virtualCluster.Status.Conditions {
			if condition.Type != own {
				out[condition.Type] = string(condition.Status) + condition.Reason
			}
		}
		return out
	}
	return predicate.Funcs{UpdateFunc: func(update event.UpdateEvent) bool {
		return !equality.Semantic.DeepEqual(states(update.ObjectOld), states(update.ObjectNew))
	}}
}

// Reconcile implements reconcile.Reconciler.
func (d *DNS) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	// Read live: what the condition said last decides whether there is anything to remove.
	if err := d.APIReader.Get(ctx, request.NamespacedName, virtualCluster); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !virtualCluster.DeletionTimestamp.IsZero() || virtualCluster.Spec.Paused {
		return ctrl.Result{}, nil
	}
	state, err := d.ensure(ctx, virtualCluster)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := d.report(ctx, virtualCluster, state); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: d.lookAgain(virtualCluster, state)}, nil
}

// lookAgain returns when to visit a tenant again; zero is when something changes.
func (d *DNS) lookAgain(virtualCluster *tenancyv1alpha1.VirtualCluster, state metav1.Condition) time.Duration {
	waited := time.Duration(0)
	if reported := meta.FindStatusCondition(virtualCluster.Status.Conditions, state.Type); reported != nil && reported.Status == state.Status {
		waited = d.Clock.Since(reported.LastTransitionTime.Time)
	}
	switch state.Reason {
	case tenancyv1alpha1.ReasonReady:
		return wait.Jitter(dnsResync, dnsJitter)
	case tenancyv1alpha1.ReasonProvisioning:
		return patience(waited, dnsStartSoonest, dnsStartLatest)
	case tenancyv1alpha1.ReasonDisabled, tenancyv1alpha1.ReasonWaiting:
		return 0
	default:
		return patience(waited, dnsTroubleSoonest, dnsTroubleLatest)
	}
}

// getClass returns the class of a virtual cluster, or an error that IsNotFound.
func (d *DNS) getClass(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) (*tenancyv1alpha1.VirtualClusterClass, error) {
	class := &tenancyv1alpha1.VirtualClusterClass{}
	return class, d.Client.Get(ctx, types.NamespacedName{Name: virtualCluster.Spec.ClassName}, class)
}

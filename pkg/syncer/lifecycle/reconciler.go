// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
)

const (
	// statusInterval is the time between two looks at what the status says: the
	// number of pods is at most this old, and written only if it changed.
	statusInterval = 5 * time.Second
	// syncingInterval is the same while a tenant's objects are read for the first time.
	syncingInterval = 100 * time.Millisecond
)

// tenantField indexes super pods by tenant id.
const tenantField = "tenant-id"

// Connections is what the reconciler asks about the tenants' connections.
type Connections interface {
	// State is fleet.Fleet.State.
	State(key types.NamespacedName) (*fleet.Tenant, error)
	// Changes is fleet.Fleet.Changes.
	Changes() <-chan types.NamespacedName
}

// Options configure a Reconciler. All but Owns and Clock are required.
type Options struct {
	// SuperClient writes; its reads may come from a cache.
	SuperClient client.Client
	// SuperReader reads live.
	SuperReader client.Reader
	// Connections says who is connected.
	Connections Connections
	// Synced reports whether the tenant of this id takes part in the sync.
	Synced func(id string) bool
	// Held returns why the tenant's deletions are held, or nil; known is false
	// for a tenant that does not take part.
	Held func(id string) (hold *engine.Hold, known bool)
	// Recorder writes events about VirtualClusters.
	Recorder events.EventRecorder
	// Owns reports whether this replica serves the tenant of this id; only then
	// may it write anything for it. Nil means all of them.
	Owns func(id string) bool
	// Clock is the real clock by default.
	Clock clock.PassiveClock
}

// Reconciler serves VirtualClusters. It is safe for concurrent use.
type Reconciler struct {
	options  Options
	starting *starting
}

// New returns a reconciler; SetupWithManager registers it.
func New(options Options) *Reconciler {
	if options.Clock == nil {
		options.Clock = clock.RealClock{}
	}
	if options.Owns == nil {
		options.Owns = func(string) bool { return true }
	}
	return &Reconciler{options: options, starting: newStarting()}
}

// SetupWithManager registers the reconciler, which also runs when a connection changes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	changes := make(chan event.TypedGenericEvent[types.NamespacedName])
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case key := <-r.options.Connections.Changes():
				select {
				case changes <- event.TypedGenericEvent[types.NamespacedName]{Object: key}:
				case <-ctx.Done():
					return nil
				}
			}
		}
	})); err != nil {
		return fmt.Errorf("following the connections: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("lifecycle").
		For(&tenancyv1alpha1.VirtualCluster{}).
		WatchesRawSource(source.Channel(changes, handler.TypedEnqueueRequestsFromMapFunc(
			func(_ context.Context, key types.NamespacedName) []reconcile.Request {
				return []reconcile.Request{{NamespacedName: key}}
			}))).
		Complete(r)
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	var vc tenancyv1alpha1.VirtualCluster
	if err := r.options.SuperClient.Get(ctx, req.NamespacedName, &vc); err != nil {
		r.starting.forget(req.NamespacedName)
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if !r.options.Owns(string(vc.UID)) {
		// Another replica's. It may become ours without a change of its own.
		r.starting.forget(req.NamespacedName)
		return reconcile.Result{RequeueAfter: statusInterval}, nil
	}
	if !vc.DeletionTimestamp.IsZero() {
		return r.end(ctx, &vc)
	}
	if err := r.begin(ctx, &vc); apierrors.IsConflict(err) {
		// vc-manager set its own finalizer at the same moment: no trouble to log.
		return reconcile.Result{RequeueAfter: syncingInterval}, nil
	} else if err != nil {
		return reconcile.Result{}, err
	}
	if err := r.report(ctx, &vc); err != nil {
		return reconcile.Result{}, err
	}
	if tenant, _ := r.options.Connections.State(req.NamespacedName); tenant != nil && !r.options.Synced(tenant.ID) {
		return reconcile.Result{RequeueAfter: syncingInterval}, nil
	}
	return reconcile.Result{RequeueAfter: statusInterval}, nil
}

// IndexPods makes counting a tenant's pods cheap. It is called before the manager starts.
func IndexPods(ctx context.Context, indexer client.FieldIndexer) error {
	return indexer.IndexField(ctx, &corev1.Pod{}, tenantField, func(superPod client.Object) []string {
		return []string{superPod.GetLabels()[tenancyv1alpha1.LabelTenantID]}
	})
}

// begin sets the finalizer, without which package fleet connects to nobody.
func (r *Reconciler) begin(ctx context.Context, vc *tenancyv1alpha1.VirtualCluster) error {
	before := vc.DeepCopy()
	if !controllerutil.AddFinalizer(vc, tenancyv1alpha1.FinalizerSyncer) {
		return nil
	}
	return r.patchFinalizers(ctx, before, vc)
}

// patchFinalizers writes the list under a lock: a merge patch replaces it whole.
func (r *Reconciler) patchFinalizers(ctx context.Context, before, vc *tenancyv1alpha1.VirtualCluster) error {
	err := r.options.SuperClient.Patch(ctx, vc, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patching the finalizers: %w", err)
	}
	return nil
}

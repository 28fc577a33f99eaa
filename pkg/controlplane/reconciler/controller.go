// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package reconciler makes a VirtualCluster true: a namespace, authorities and
// certificates, Services, one StatefulSet, kubeconfigs, and a part of the
// tenants' service range.
//
// A reconcile is a short list of phases, a file for each. Every phase is level
// triggered and idempotent: it can be stopped anywhere and run again, and it
// writes only what differs. What can never be made twice (authorities, the
// service range) is created or stored before anything uses it.
//
// The status is collected while the phases run and applied once at the end
// (server-side apply, field manager "vc-manager"), whatever happened. A phase
// that has to wait says for what in a condition; it is woken by a watch and
// not by polling.
package reconciler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
	"virtualcluster.io/virtualcluster/pkg/controlplane/members"
)

// FieldManager is the field manager of everything that vc-manager applies.
const FieldManager = "vc-manager"

// resyncPeriod is how often a virtual cluster is looked at when nothing
// happens: its API server is asked whether it answers, and certificates are renewed.
const resyncPeriod = time.Minute

// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusters,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusters/status,verbs=patch
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusterclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=vc-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=vc-system,resources=leases,resourceNames=vc-manager,verbs=get;update;patch
// +kubebuilder:rbac:groups="",resources=events,verbs=create;patch,namespace=vc-system

// Reconciler reconciles VirtualClusters. Reconcile is safe for concurrent use
// on different VirtualClusters; only one process may run it at a time (leader
// election), because service ranges are handed out under a lock in memory.
type Reconciler struct {
	// Client reads from a cache that holds only objects with the label
	// managed-by=vc-manager, and writes to the meta cluster.
	Client client.Client
	// APIReader reads the meta cluster itself.
	APIReader client.Reader
	// Recorder writes events.
	Recorder events.EventRecorder
	// Clock tells the time of certificates and conditions.
	Clock clock.PassiveClock
	// Probe asks the API server at host:port whether it is ready; ca (PEM) is
	// the only authority it may be certified by.
	Probe func(ctx context.Context, address string, ca []byte) error
	// Members connects to a member of a tenant's database.
	Members func(ctx context.Context, endpoint members.Endpoint) (members.Database, error)
	// PlatformNamespace is where vc-manager runs.
	PlatformNamespace string
	// ProbeName asks the API server at host:port for its certificate, which must
	// be good for name and signed by ca (PEM).
	ProbeName func(ctx context.Context, address, name string, ca []byte) error
	// AgentCA returns the authority (PEM) that certifies vn-agent, which it
	// makes if there is none.
	AgentCA func(ctx context.Context) ([]byte, error)
	// Metrics tells when certificates end. Nil tells nobody.
	Metrics *Metrics

	// DialExternal opens connections to external control planes, whose addresses
	// users write (external.Dialer).
	DialExternal external.DialFunc

	// metaID is the meta cluster's identity, once it was read; visits is how many
	// external control planes are being visited.
	metaID atomic.Pointer[string]
	visits atomic.Int32
	// allocation serialises the choice of service ranges with its storing.
	allocation sync.Mutex
}

// phase is one step of a reconcile.
type phase struct {
	// name is for logs and errors: a gerund.
	name string
	// condition is where trouble of this phase shows.
	condition string
	// completes says that the condition is True when this phase has succeeded.
	completes bool
	run       func(ctx context.Context, s *scope) error
}

func (r *Reconciler) phases(s *scope) []phase {
	if externalRef(s.virtualCluster) != nil {
		return r.externalPhases()
	}
	return []phase{
		{"resolving the class", tenancyv1alpha1.ConditionClassResolved, false, r.resolveClass},
		{"choosing the version", tenancyv1alpha1.ConditionClassResolved, true, r.chooseVersion},
		{"allocating the service range", tenancyv1alpha1.ConditionNetworkAllocated, true, r.allocateNetwork},
		{"ensuring the namespace", tenancyv1alpha1.ConditionControlPlaneReady, false, r.ensureNamespace},
		{"ensuring the service", tenancyv1alpha1.ConditionControlPlaneReady, false, r.ensureService},
		{"ensuring certificates", tenancyv1alpha1.ConditionCertificatesReady, false, r.ensureCertificates},
		{"ensuring the membership", tenancyv1alpha1.ConditionControlPlaneReady, false, r.ensureMembership},
		{"finding the storage class", tenancyv1alpha1.ConditionControlPlaneReady, false, r.checkStorageClass},
		{"ensuring the stateful set", tenancyv1alpha1.ConditionControlPlaneReady, false, r.ensureStatefulSet},
		{"going back to the version that ran", tenancyv1alpha1.ConditionControlPlaneReady, false, r.retreat},
		{"ensuring kubeconfigs", tenancyv1alpha1.ConditionCertificatesReady, true, r.ensureKubeconfigs},
		{"checking readiness", tenancyv1alpha1.ConditionControlPlaneReady, false, r.checkReadiness},
		{"handing out the endpoint", tenancyv1alpha1.ConditionControlPlaneReady, true, r.checkEndpoint},
	}
}

// blocked is returned by a phase that cannot go on for a reason that is not a
// fault of its own. The reconcile ends; a watch, or after if it is not zero,
// starts the next.
type blocked struct {
	reason, message string
	after           time.Duration
}

// Error implements error.
func (b *blocked) Error() string { return b.reason + ": " + b.message }

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	// Read live: a status built on an old one could take back a service range
	// that was stored a moment ago.
	if err := r.APIReader.Get(ctx, request.NamespacedName, virtualCluster); err != nil {
		if apierrors.IsNotFound(err) {
			r.Metrics.forget(request.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !virtualCluster.DeletionTimestamp.IsZero() {
		return r.reconcileDeletion(ctx, virtualCluster)
	}
	s := newScope(virtualCluster)
	defer s.endVisit()
	s.spec.PlatformNamespace = r.PlatformNamespace
	var phases []phase
	if virtualCluster.Spec.Paused {
		phases = r.pausedPhases(s)
	} else {
		phases = r.phases(s)
		if err := r.ensureFinalizer(ctx, virtualCluster); err != nil {
			return ctrl.Result{}, err
		}
	}
	err := r.runPhases(ctx, s, phases)
	err = errors.Join(err, r.observePods(ctx, s))
	s.reportUpToDate(r.Clock)
	s.summarize(r.Clock)
	if err == nil {
		s.status.ObservedGeneration = virtualCluster.Generation
	}
	if statusErr := r.applyStatus(ctx, s); statusErr != nil {
		err = errors.Join(err, statusErr)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: untilDue(s.next(), s.due, r.Clock.Now())}, nil
}

// runPhases runs the phases until one cannot go on, and keeps the conditions.
func (r *Reconciler) runPhases(ctx context.Context, s *scope, phases []phase) error {
	for _, phase := range phases {
		err := phase.run(ctx, s)
		var wait *blocked
		switch {
		case errors.As(err, &wait):
			s.setFalse(phase.condition, wait.reason, wait.message, r.Clock)
			s.requeueAfter = wait.after
			return nil
		case err != nil:
			s.setFalse(phase.condition, tenancyv1alpha1.ReasonError, phase.name+": "+err.Error(), r.Clock)
			return fmt.Errorf("%s: %w", phase.name, err)
		case phase.completes:
			s.setTrue(phase.condition, r.Clock)
		}
	}
	s.requeueAfter = resyncPeriod
	if externalRef(s.virtualCluster) != nil {
		s.requeueAfter = resyncExternal
	}
	return nil
}

// ensureFinalizer makes sure, before anything is made, that it will be removed.
func (r *Reconciler) ensureFinalizer(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) error {
	before := virtualCluster.DeepCopy()
	if !controllerutil.AddFinalizer(virtualCluster, tenancyv1alpha1.FinalizerManager) {
		return nil
	}
	return r.patchFinalizers(ctx, before, virtualCluster)
}

// patchFinalizers patches with an optimistic lock: a merge patch replaces the
// whole list, and the syncer writes it too.
func (r *Reconciler) patchFinalizers(ctx context.Context, before, after *tenancyv1alpha1.VirtualCluster) error {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, after, patch, client.FieldOwner(FieldManager)); err != nil {
		return fmt.Errorf("patching metadata.finalizers: %w", err)
	}
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
)

const (
	// resyncExternal is how often an external control plane is looked at that
	// is in order, and its kubeconfig is read again: nothing wakes us.
	resyncExternal = 30 * time.Second
	// retryExternal and retryExternalMax are how soon, and how late, one is
	// looked at again that cannot be used.
	retryExternal    = 4 * time.Second
	retryExternalMax = 20 * time.Second
	// externalVisits is how many external control planes are visited at once.
	// One that does not answer holds a worker for seconds; the others stay free
	// for control planes of our own.
	externalVisits = 4
	// awaitVisit is how soon a visit is tried again when there were too many.
	awaitVisit = 2 * time.Second
)

// visit is a connection to an external control plane while its phases run.
type visit struct {
	access  *external.Access
	cluster *external.Cluster
	facts   *external.Facts
	// secret is the user's.
	secret *corev1.Secret
	end    func()
}

// externalRef returns what names the kubeconfig of an external control plane,
// or nil if the platform runs the control plane.
func externalRef(virtualCluster *tenancyv1alpha1.VirtualCluster) *tenancyv1alpha1.KubeconfigSecretReference {
	controlPlane := virtualCluster.Spec.ControlPlane
	if controlPlane == nil || controlPlane.External == nil {
		return nil
	}
	return &controlPlane.External.KubeconfigSecretRef
}

// externalPhases are the phases for a control plane that somebody else runs.
// It is reached first: what it says decides whether anything is made.
func (r *Reconciler) externalPhases() []phase {
	return []phase{
		{"resolving the class", tenancyv1alpha1.ConditionClassResolved, true, r.resolveClass},
		{"reaching the external control plane", tenancyv1alpha1.ConditionControlPlaneReady, false, r.reachExternal},
		{"checking the service range", tenancyv1alpha1.ConditionNetworkAllocated, true, r.adoptNetwork},
		{"ensuring the namespace", tenancyv1alpha1.ConditionControlPlaneReady, false, r.ensureNamespace},
		{"ensuring kubeconfigs", tenancyv1alpha1.ConditionCertificatesReady, false, r.ensureExternalKubeconfigs},
		{"checking readiness", tenancyv1alpha1.ConditionControlPlaneReady, true, r.observeExternal},
	}
}

// reachExternal reads the kubeconfig, live, and finds out whether the cluster
// behind it can be this tenant.
func (r *Reconciler) reachExternal(ctx context.Context, s *scope) error {
	err := r.visitExternal(ctx, s)
	var refusal *external.RefusalError
	switch {
	case err == nil && !meta.IsStatusConditionTrue(s.status.Conditions, tenancyv1alpha1.ConditionControlPlaneReady):
		// What was said before is not so any more; a later phase may wait for long.
		s.setFalse(tenancyv1alpha1.ConditionControlPlaneReady, tenancyv1alpha1.ReasonProvisioning, "the API server answers", r.Clock)
	case err != nil && s.status.Network == nil:
		// The same, about the cluster of the kubeconfig that was there before.
		meta.RemoveStatusCondition(&s.status.Conditions, tenancyv1alpha1.ConditionNetworkAllocated)
	}
	if errors.As(err, &refusal) {
		return &blocked{reason: refusal.Reason, message: fmt.Sprintf("kubeconfig of Secret %s/%s: %s",
			s.virtualCluster.Namespace, externalRef(s.virtualCluster).Name, refusal.Message), after: s.retryExternal(r)}
	}
	return err
}

// retryExternal returns when to look again at an external control plane that
// cannot be used. Its ControlPlaneReady tells since when that has been so.
func (s *scope) retryExternal(r *Reconciler) time.Duration {
	return patience(s.unavailableFor(r.Clock), retryExternal, retryExternalMax)
}

func (r *Reconciler) visitExternal(ctx context.Context, s *scope) error {
	secret, err := r.readKubeconfig(ctx, s)
	if err != nil {
		return err
	}
	access, err := external.Parse(secret.Data[tenancyv1alpha1.KeyKubeconfig], r.Clock.Now())
	if err != nil {
		return err
	}
	if s.visit, err = r.openVisit(access); err != nil {
		return err
	}
	s.visit.secret = secret
	ctx, cancel := context.WithTimeout(ctx, external.VisitTimeout)
	defer cancel()
	if s.visit.facts, err = s.visit.cluster.Inspect(ctx); err != nil {
		return err
	}
	s.spec.ExternalClusterID = s.visit.facts.ID
	return r.checkIdentity(ctx, s)
}

// openVisit connects, unless too many visits are under way.
func (r *Reconciler) openVisit(access *external.Access) (*visit, error) {
	if r.visits.Add(1) > externalVisits {
		r.visits.Add(-1)
		return nil, &blocked{reason: tenancyv1alpha1.ReasonProvisioning, message: "it is about to be looked at", after: awaitVisit}
	}
	cluster, err := external.Connect(access, r.DialExternal)
	if err != nil {
		r.visits.Add(-1)
		return nil, err
	}
	return &visit{access: access, cluster: cluster, end: func() { cluster.Close(); r.visits.Add(-1) }}, nil
}

// endVisit gives back what reachExternal holds. It may be called without.
func (s *scope) endVisit() {
	if s.visit != nil {
		s.visit.end()
		s.visit = nil
	}
}

func (r *Reconciler) readKubeconfig(ctx context.Context, s *scope) (*corev1.Secret, error) {
	name := externalRef(s.virtualCluster).Name
	if name == component.UserKubeconfigName(s.virtualCluster.Name) {
		return nil, refuseKubeconfig(tenancyv1alpha1.ReasonKubeconfigInvalid, "the platform itself writes a Secret of this name: choose another")
	}
	secret := &corev1.Secret{}
	err := r.APIReader.Get(ctx, types.NamespacedName{Namespace: s.virtualCluster.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, refuseKubeconfig(tenancyv1alpha1.ReasonKubeconfigInvalid, "there is no such Secret: create it with the kubeconfig under the key %q", tenancyv1alpha1.KeyKubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("getting Secret %s/%s: %w", s.virtualCluster.Namespace, name, err)
	}
	if len(secret.Data[tenancyv1alpha1.KeyKubeconfig]) == 0 {
		return nil, refuseKubeconfig(tenancyv1alpha1.ReasonKubeconfigInvalid, "the Secret has no key %q: put the kubeconfig there", tenancyv1alpha1.KeyKubeconfig)
	}
	return secret, nil
}

func refuseKubeconfig(reason, format string, arguments ...any) error {
	return &external.RefusalError{Reason: reason, Message: fmt.Sprintf(format, arguments...)}
}

// checkIdentity refuses a cluster that is the meta cluster, another one than
// before, or another virtual cluster's. It goes by what the cluster says, and
// is there to tell people; adoptNetwork holds against who lies: two virtual
// clusters never have one service range.
func (r *Reconciler) checkIdentity(ctx context.Context, s *scope) error {
	id := s.visit.facts.ID
	own, err := r.metaClusterID(ctx)
	if err != nil {
		return err
	}
	if id == own {
		return refuseKubeconfig(tenancyv1alpha1.ReasonSuperCluster, "it leads to the cluster that the platform runs in: name another cluster")
	}
	var namespaces corev1.NamespaceList
	if err := r.Client.List(ctx, &namespaces, client.HasLabels{tenancyv1alpha1.LabelExternalCluster}); err != nil {
		return fmt.Errorf("listing the namespaces of external control planes: %w", err)
	}
	for i := range namespaces.Items {
		namespace := &namespaces.Items[i]
		same, its := namespace.Name == s.spec.NamespaceName(), namespace.Labels[tenancyv1alpha1.LabelExternalCluster]
		if same && its != id {
			return refuseKubeconfig(tenancyv1alpha1.ReasonKubeconfigInvalid, "it leads to another cluster than before: give one of the same cluster, or create another VirtualCluster")
		}
		if !same && its == id {
			return refuseKubeconfig(tenancyv1alpha1.ReasonKubeconfigInvalid, "it leads to the cluster of virtual cluster %s: one cluster can be one tenant only",
				namespace.Annotations[tenancyv1alpha1.AnnotationVirtualCluster])
		}
	}
	return nil
}

// metaClusterID returns the UID of the meta cluster's namespace kube-system,
// which is read once.
func (r *Reconciler) metaClusterID(ctx context.Context) (string, error) {
	if known := r.metaID.Load(); known != nil {
		return *known, nil
	}
	namespace := &corev1.Namespace{}
	if err := r.APIReader.Get(ctx, types.NamespacedName{Name: metav1.NamespaceSystem}, namespace); err != nil {
		return "", fmt.Errorf("getting Namespace %s: %w", metav1.NamespaceSystem, err)
	}
	id := string(namespace.UID)
	r.metaID.Store(&id)
	return id, nil
}

// observeExternal notes how the control plane is reached and what it runs.
func (r *Reconciler) observeExternal(ctx context.Context, s *scope) error {
	ctx, cancel := context.WithTimeout(ctx, external.VisitTimeout)
	defer cancel()
	status, server := s.status.ControlPlane, s.visit.access.Server
	status.Endpoint, status.InternalEndpoint = server.String(), server.Host
	addresses, err := s.visit.cluster.Addresses(ctx)
	if err == nil && len(addresses) == 0 && len(status.Addresses) == 0 {
		err = refuseKubeconfig(tenancyv1alpha1.ReasonControlPlaneUnavailable,
			"no address of its EndpointSlice default/kubernetes answers with a certificate of the kubeconfig's authority: pods would not find their API server; make the addresses reachable from the meta cluster")
	}
	var refusal *external.RefusalError
	if errors.As(err, &refusal) {
		return &blocked{reason: refusal.Reason, message: refusal.Message, after: s.retryExternal(r)}
	}
	if err != nil {
		return err
	}
	if len(addresses) > 0 {
		status.Addresses = addresses
	}
	s.status.Version = s.visit.facts.Version
	return nil
}

// leaveExternal takes away what the platform made in an external cluster, as
// long as that is worth trying. waited is how long the deletion has lasted.
func (r *Reconciler) leaveExternal(ctx context.Context, s *scope, waited time.Duration) (done bool, err error) {
	namespace, secret := &corev1.Namespace{}, &corev1.Secret{}
	found, err := getOwned(ctx, r.Client, r.APIReader, s.spec.Namespace(), namespace)
	if err != nil || !found || !namespace.DeletionTimestamp.IsZero() {
		return err == nil, err
	}
	found, err = getOwned(ctx, r.Client, r.APIReader, s.spec.SyncerKubeconfig(nil), secret)
	if err != nil || !found {
		return err == nil, err
	}
	access, err := external.Parse(secret.Data[tenancyv1alpha1.KeyKubeconfig], r.Clock.Now())
	if err == nil {
		s.visit, err = r.openVisit(access)
	}
	if err == nil {
		defer s.endVisit()
		ctx, cancel := context.WithTimeout(ctx, external.VisitTimeout)
		defer cancel()
		err = s.visit.cluster.RemoveAgent(ctx)
	}
	if err != nil && waited > leaveExternalFor {
		r.Recorder.Eventf(s.virtualCluster, nil, corev1.EventTypeWarning, tenancyv1alpha1.ReasonTenantUnreachable, actionReconcile,
			"the external control plane could not be cleaned up: delete ServiceAccount kube-system/%s, the ClusterRole and ClusterRoleBinding of that name and Node %s there",
			external.AgentName, tenancyv1alpha1.VirtualNodeName)
		return true, nil
	}
	return err == nil, nil
}

// leaveExternalFor is how long a deletion tries to clean up an external cluster.
const leaveExternalFor = 30 * time.Second

// setTrueWith is setTrue with something to know.
func (s *scope) setTrueWith(condition, message string, r *Reconciler) {
	s.set(condition, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady, message, r.Clock)
}

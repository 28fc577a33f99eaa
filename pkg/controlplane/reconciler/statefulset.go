// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// +kubebuilder:rbac:groups=apps,resources=statefulsets,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=get;list;watch;create;patch

const (
	// retryScaling is how soon a change of the number of replicas is looked at
	// again: what happens in the database wakes nobody. retryScalingMax is how
	// late, when that has lasted long.
	retryScaling    = time.Second
	retryScalingMax = 15 * time.Second
	// maxSteps bounds the steps of one reconcile: lead, remove, and what follows.
	maxSteps = 4
)

// ensureStatefulSet makes the control plane itself, with as many replicas as
// it may have now on the way to as many as it is to have.
func (r *Reconciler) ensureStatefulSet(ctx context.Context, s *scope) error {
	existing := &appsv1.StatefulSet{}
	found, err := getOwned(ctx, r.Client, r.APIReader, s.spec.StatefulSet(""), existing)
	if err != nil {
		return err
	}
	if s.pods, err = r.listPods(ctx, s); err != nil {
		return err
	}
	facts, err := r.gatherFacts(ctx, s, found, existing)
	if err != nil {
		return err
	}
	step := r.scale(ctx, s, &facts)
	s.spec.Members, s.spec.Replicated = step.pods, step.replicated
	if step.waiting != "" {
		s.differ(tenancyv1alpha1.ReasonScaling, step.waiting)
		s.wakeAfter(patience(s.falseFor(tenancyv1alpha1.ConditionUpToDate, r.Clock), retryScaling, retryScalingMax))
	}
	if err := r.ensureCompanions(ctx, s); err != nil {
		return err
	}
	if err := r.applyStatefulSet(ctx, s, found, existing); err != nil {
		return err
	}
	s.observeReplicas(facts)
	return nil
}

func (r *Reconciler) applyStatefulSet(ctx context.Context, s *scope, found bool, existing *appsv1.StatefulSet) error {
	desired := s.spec.StatefulSet(s.pkiHash)
	if found && (!existing.DeletionTimestamp.IsZero() || existing.Spec.ServiceName != desired.Spec.ServiceName) {
		// It cannot be changed: one without pods of its own takes these over.
		s.statefulSet = existing
		s.differ(tenancyv1alpha1.ReasonRollingOut, "the StatefulSet is being replaced; its pods run on")
		s.wakeAfter(retryScaling)
		return r.delete(ctx, existing, client.PropagationPolicy(metav1.DeletePropagationOrphan))
	}
	if found {
		keepVolume(desired, existing)
		keepUser(desired, existing)
	}
	s.statefulSet = &appsv1.StatefulSet{}
	return r.apply(ctx, desired, s.statefulSet)
}

// ensureCompanions makes what the pods need around them.
func (r *Reconciler) ensureCompanions(ctx context.Context, s *scope) error {
	if err := r.apply(ctx, s.spec.PeersService(), &corev1.Service{}); err != nil {
		return err
	}
	if err := r.apply(ctx, s.spec.NetworkPolicy(), &networkingv1.NetworkPolicy{}); err != nil {
		return err
	}
	if s.spec.Replicated {
		return r.apply(ctx, s.spec.DisruptionBudget(), &policyv1.PodDisruptionBudget{})
	}
	// The cache is enough: should it be late, there is a next time.
	budget := &policyv1.PodDisruptionBudget{}
	err := r.Client.Get(ctx, client.ObjectKeyFromObject(s.spec.DisruptionBudget()), budget)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if !sameOwner(s.spec.DisruptionBudget(), budget) {
		return nil
	}
	return r.delete(ctx, budget)
}

// scale does what can be done now in the database, and returns what is to be
// done to the StatefulSet. What fails is part of what it waits for, and is
// tried again.
func (r *Reconciler) scale(ctx context.Context, s *scope, facts *scalingFacts) scalingStep {
	for range maxSteps {
		facts.members, facts.trouble = nil, ""
		if facts.asksMembers() {
			var err error
			if facts.members, err = r.listMembers(ctx, s, s.pods); err != nil {
				facts.trouble = err.Error()
			}
		}
		step := nextStep(*facts)
		if step.lead == nil && step.remove == nil {
			return step
		}
		if err := r.carryOut(ctx, s, s.pods, *facts, step); err != nil {
			step.waiting += ": " + err.Error()
			return step
		}
	}
	return nextStep(*facts)
}

func (r *Reconciler) gatherFacts(ctx context.Context, s *scope, found bool, existing *appsv1.StatefulSet) (scalingFacts, error) {
	facts := scalingFacts{desired: max(s.spec.ControlPlane.Replicas, 1), exists: found, ready: readyOrdinals(s.pods), before: s.before}
	if found {
		facts.pods = ptr.Deref(existing.Spec.Replicas, 1)
		facts.replicated = isReplicated(existing)
		facts.settled = rolledOut(existing) && len(s.pods) == int(facts.pods)
		return facts, nil
	}
	claims, err := r.listVolumeClaims(ctx, s)
	for i := range claims {
		if claims[i].DeletionTimestamp.IsZero() {
			facts.pods = max(facts.pods, min(ordinalOf(&claims[i])+1, component.MaxMembers))
		}
	}
	return facts, err
}

// isReplicated reports whether the pods of a StatefulSet run as members of several.
func isReplicated(statefulSet *appsv1.StatefulSet) bool {
	for i := range statefulSet.Spec.Template.Spec.Containers {
		container := &statefulSet.Spec.Template.Spec.Containers[i]
		if container.Name == component.ContainerName {
			return slices.ContainsFunc(container.Ports, func(port corev1.ContainerPort) bool {
				return port.ContainerPort == component.EtcdPeerPort
			})
		}
	}
	return false
}

// falseFor returns how long a condition has not been True.
func (s *scope) falseFor(conditionType string, now clock.PassiveClock) time.Duration {
	condition := meta.FindStatusCondition(s.stored.Conditions, conditionType)
	if condition == nil || condition.Status == metav1.ConditionTrue {
		return 0
	}
	return now.Since(condition.LastTransitionTime.Time)
}

// keepVolume leaves the volume claim as it is: it cannot be changed, so a
// class that changes its storage is for new virtual clusters.
func keepVolume(desired, existing *appsv1.StatefulSet) {
	for i := range desired.Spec.VolumeClaimTemplates {
		if i >= len(existing.Spec.VolumeClaimTemplates) {
			return
		}
		kept := &existing.Spec.VolumeClaimTemplates[i].Spec
		desired.Spec.VolumeClaimTemplates[i].Spec.Resources = kept.Resources
		desired.Spec.VolumeClaimTemplates[i].Spec.StorageClassName = kept.StorageClassName
	}
}

// keepUser leaves the user of the process as it is: the files on the volume are that user's.
func keepUser(desired, existing *appsv1.StatefulSet) {
	kept := existing.Spec.Template.Spec.SecurityContext
	if kept == nil || kept.RunAsUser == nil {
		return
	}
	context := desired.Spec.Template.Spec.SecurityContext
	context.RunAsUser, context.RunAsGroup, context.FSGroup = kept.RunAsUser, kept.RunAsGroup, kept.FSGroup
}

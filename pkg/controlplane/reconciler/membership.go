// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch

// ensureMembership tells the processes how many members are wanted, and whether
// a database may be made: only before any replica was ready, or when a person
// has allowed it. It comes before anything is done to the members.
func (r *Reconciler) ensureMembership(ctx context.Context, s *scope) error {
	existing := &corev1.ConfigMap{}
	found, err := getOwned(ctx, r.Client, r.APIReader, s.spec.MembershipConfigMap(), existing)
	if err != nil {
		return err
	}
	var was component.Membership
	if found {
		was = component.ParseMembership(existing)
	}
	s.spec.Membership = nextMembership(membershipFacts{
		found: found, was: was, desired: max(s.spec.ControlPlane.Replicas, 1),
		served:  s.status.Version != "",
		serving: meta.IsStatusConditionTrue(s.stored.Conditions, tenancyv1alpha1.ConditionControlPlaneReady),
		allowed: s.virtualCluster.Annotations[tenancyv1alpha1.AnnotationAllowEmptyDatabase],
		now:     r.Clock.Now(),
	})
	if err := r.apply(ctx, s.spec.MembershipConfigMap(), &corev1.ConfigMap{}); err != nil {
		return err
	}
	if found && s.spec.Membership.Bootstrap && !was.Bootstrap {
		return r.restartLost(ctx, s)
	}
	return nil
}

// restartLost starts the pods that are not ready anew: they see what has just
// been allowed at once, and not when the kubelet next renews their files.
func (r *Reconciler) restartLost(ctx context.Context, s *scope) error {
	log.FromContext(ctx).Info("An empty database is allowed")
	pods, err := r.listPods(ctx, s)
	if err != nil {
		return err
	}
	for i := range pods {
		if podReady(&pods[i]) {
			continue
		}
		if err := r.delete(ctx, &pods[i]); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// noteServing notes that a replica was ready: from now on there is a database.
func (r *Reconciler) noteServing(ctx context.Context, s *scope) error {
	if !s.spec.Membership.Bootstrap {
		return nil
	}
	s.spec.Membership.Bootstrap, s.spec.Membership.Established = false, r.Clock.Now()
	return r.apply(ctx, s.spec.MembershipConfigMap(), &corev1.ConfigMap{})
}

// membershipFacts is all that decides what the processes are told.
type membershipFacts struct {
	// found: they were told before; was is what.
	found bool
	was   component.Membership
	// desired is how many members there are to be.
	desired int32
	// served: the control plane has served before; serving: it did so just now.
	served, serving bool
	// allowed is since when an empty database is allowed (RFC 3339), or empty.
	allowed string
	now     time.Time
}

// nextMembership is pure. That an empty database is allowed holds for a loss
// that was before, not for one in the future: who is serving uses it up.
func nextMembership(f membershipFacts) component.Membership {
	out := f.was
	if !f.found {
		out.Bootstrap = !f.served
	}
	if out.Members != f.desired {
		out.Members, out.Revision = f.desired, max(out.Revision+1, f.now.Unix())
	}
	if !out.Bootstrap && out.Established.IsZero() {
		out.Established = f.now
	}
	allowed, err := time.Parse(time.RFC3339, f.allowed)
	if err != nil || out.Bootstrap || !allowed.After(out.Established) || allowed.After(f.now) {
		return out
	}
	if f.serving {
		out.Established = f.now
		return out
	}
	out.Bootstrap = true
	return out
}

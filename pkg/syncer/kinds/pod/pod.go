// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// Kind returns the kind of pods.
func Kind() kind.Downward[*corev1.Pod] {
	translator := &translator{rules: policy.PodFields(), statusRules: policy.PodStatusFields()}
	return kind.Downward[*corev1.Pod]{
		Object:    &corev1.Pod{},
		Lifecycle: kind.Process,
		Uses:      []client.Object{&corev1.Node{}, &corev1.Service{}, &corev1.ConfigMap{}, &corev1.Secret{}, &corev1.Namespace{}, &corev1.PersistentVolumeClaim{}},
		// A pod that was refused may ask for what the class offers now.
		UsesFacts: true,
		// A gated pod is not ready to be scheduled anywhere.
		Select:       func(tenant *corev1.Pod) bool { return len(tenant.Spec.SchedulingGates) == 0 },
		Down:         translator.down,
		Up:           translator.up,
		Attach:       attach,
		Accepted:     accepted,
		Placement:    placement,
		Bound:        bound,
		Finished:     finished,
		Subresources: subresources(),
		Demand:       demand,
		Hold:         hold,
	}
}

// translator holds what is the same for all pods. It is read only.
type translator struct{ rules, statusRules policy.Fields }

func (t *translator) down(ctx context.Context, env kind.Env, tenant, super *corev1.Pod) error {
	if super.UID != "" {
		return t.update(ctx, env, tenant, super)
	}
	return t.create(ctx, env, tenant, super)
}

// accepted reports whether a kubelet has taken the pod up, which it says before it
// pulls anything, or a scheduler has said why there is no node, or why it does not
// look yet.
func accepted(super *corev1.Pod) bool {
	return super.Status.StartTime != nil || super.Status.Phase != corev1.PodPending && super.Status.Phase != "" || unschedulable(super)
}

// placement is the virtual node once the super cluster has chosen a real one.
func placement(super, _ *corev1.Pod) string {
	if super.Spec.NodeName == "" {
		return ""
	}
	return tenancyv1alpha1.VirtualNodeName
}

// bound tells a pod that the syncer bound, or that has run already, from one
// that its author gave a node name or that a scheduler of the tenant's bound:
// that one never had a super pod, and must not be ended as if it had lost it.
func bound(tenant *corev1.Pod) bool {
	if tenant.Spec.NodeName == "" {
		return false
	}
	ours := tenant.UID != "" && tenant.Annotations[tenancyv1alpha1.AnnotationBound] == string(tenant.UID)
	return ours || tenant.Status.StartTime != nil
}

// finished reports that the pod has run to its end and will not run again.
func finished(tenant *corev1.Pod) bool {
	return tenant.Status.Phase == corev1.PodSucceeded || tenant.Status.Phase == corev1.PodFailed
}

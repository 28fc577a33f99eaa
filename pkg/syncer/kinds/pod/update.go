// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// update gives a running super pod what a tenant may change in place: images,
// the active deadline, resources, debug containers, and the conditions that its
// readiness gates wait for.
func (t *translator) update(ctx context.Context, env kind.Env, tenant, super *corev1.Pod) error {
	updateSpec(tenant, super)
	passGates(tenant, super)
	return t.addEphemeral(ctx, env, tenant, super)
}

// updateSpec does what needs nothing but the two pods.
func updateSpec(tenant, super *corev1.Pod) {
	updateImages(tenant.Spec.InitContainers, super.Spec.InitContainers)
	updateImages(tenant.Spec.Containers, super.Spec.Containers)
	super.Spec.ActiveDeadlineSeconds = tenant.Spec.ActiveDeadlineSeconds
	resize(tenant, super)
}

func updateImages(tenant, super []corev1.Container) {
	for i := range super {
		if asked := containerNamed(tenant, super[i].Name); asked != nil {
			super[i].Image = asked.Image
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// update gives a running super pod what a tenant may change in place: images
// and the active deadline.
func update(env kind.Env, tenant, super *corev1.Pod) {
	updateImages(tenant.Spec.InitContainers, super.Spec.InitContainers)
	updateImages(tenant.Spec.Containers, super.Spec.Containers)
	super.Spec.ActiveDeadlineSeconds = tenant.Spec.ActiveDeadlineSeconds
	if len(tenant.Spec.EphemeralContainers) > 0 {
		env.Warn("spec.ephemeralContainers", "debug containers are not supported yet; the container is not started")
	}
}

func updateImages(tenant, super []corev1.Container) {
	images := make(map[string]string, len(tenant))
	for _, container := range tenant {
		images[container.Name] = container.Image
	}
	for i := range super {
		if image, ok := images[super[i].Name]; ok {
			super[i].Image = image
		}
	}
}

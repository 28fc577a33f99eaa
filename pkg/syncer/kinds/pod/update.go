// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// update gives a running super pod what a tenant may change in place: images
// and the active deadline. It warns about what the tenant's API server took
// and the super pod does not get.
func update(env kind.Env, tenant, super *corev1.Pod) {
	updateImages(tenant.Spec.InitContainers, super.Spec.InitContainers)
	updateImages(tenant.Spec.Containers, super.Spec.Containers)
	super.Spec.ActiveDeadlineSeconds = tenant.Spec.ActiveDeadlineSeconds
	warnResize(env, tenant.Spec.InitContainers, super.Spec.InitContainers, "spec.initContainers")
	warnResize(env, tenant.Spec.Containers, super.Spec.Containers, "spec.containers")
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

// warnResize tells the tenant of resources that it changed after the pod was
// created. What super added to them by itself is no change.
func warnResize(env kind.Env, tenant, super []corev1.Container, path string) {
	for i := range tenant {
		at := slices.IndexFunc(super, func(c corev1.Container) bool { return c.Name == tenant[i].Name })
		if at < 0 {
			continue
		}
		asked, has := tenant[i].Resources, super[at].Resources
		if differs(asked.Requests, has.Requests) || differs(asked.Limits, has.Limits) {
			env.Warn(fmt.Sprintf("%s[%d].resources", path, i), "resizing a running pod is not supported yet; the change has no effect")
		}
	}
}

func differs(asked, has corev1.ResourceList) bool {
	for name, quantity := range asked {
		if other, ok := has[name]; !ok || quantity.Cmp(other) != 0 {
			return true
		}
	}
	return false
}

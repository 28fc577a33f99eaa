// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package stored

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// sharePod has a pod share whole parts with others.
func sharePod(p *pool, pod *corev1.Pod) {
	same(p, &pod.Labels, &metav1.ObjectMeta{Labels: pod.Labels})
	shareSpec(p, &pod.Spec)
	shareStatus(p, &pod.Status)
}

// shareSpec encodes each part as a spec that has nothing else.
func shareSpec(p *pool, spec *corev1.PodSpec) {
	part := &corev1.PodSpec{Containers: spec.Containers}
	if !same(p, &spec.Containers, part) {
		spec.Containers = shareContainers(p, spec.Containers)
	}
	*part = corev1.PodSpec{InitContainers: spec.InitContainers}
	if !same(p, &spec.InitContainers, part) {
		spec.InitContainers = shareContainers(p, spec.InitContainers)
	}
	*part = corev1.PodSpec{Volumes: spec.Volumes}
	if !same(p, &spec.Volumes, part) {
		spec.Volumes = shareVolumes(p, spec.Volumes)
	}
	*part = corev1.PodSpec{Tolerations: spec.Tolerations}
	same(p, &spec.Tolerations, part)
	*part = corev1.PodSpec{NodeSelector: spec.NodeSelector}
	same(p, &spec.NodeSelector, part)
	*part = corev1.PodSpec{Affinity: spec.Affinity}
	same(p, &spec.Affinity, part)
	*part = corev1.PodSpec{SecurityContext: spec.SecurityContext}
	same(p, &spec.SecurityContext, part)
	*part = corev1.PodSpec{DNSConfig: spec.DNSConfig}
	same(p, &spec.DNSConfig, part)
	*part = corev1.PodSpec{TopologySpreadConstraints: spec.TopologySpreadConstraints}
	same(p, &spec.TopologySpreadConstraints, part)
}

// shareContainers is for containers of which one differs, if only by the name of
// a volume that the API server made for its token. What it returns is a copy: the
// pool has shown the list itself to others.
func shareContainers(p *pool, containers []corev1.Container) []corev1.Container {
	containers = slices.Clone(containers)
	for i := range containers {
		container := &containers[i]
		part := &corev1.Container{Env: container.Env}
		same(p, &container.Env, part)
		*part = corev1.Container{Ports: container.Ports}
		same(p, &container.Ports, part)
		*part = corev1.Container{Resources: container.Resources}
		same(p, &container.Resources, part)
		*part = corev1.Container{SecurityContext: container.SecurityContext}
		same(p, &container.SecurityContext, part)
	}
	return containers
}

// shareVolumes is as shareContainers.
func shareVolumes(p *pool, volumes []corev1.Volume) []corev1.Volume {
	volumes = slices.Clone(volumes)
	for i := range volumes {
		same(p, &volumes[i].VolumeSource, &corev1.Volume{VolumeSource: volumes[i].VolumeSource})
	}
	return volumes
}

// shareStatus: what a tenant's pod reports is what its own in the super cluster does.
func shareStatus(p *pool, status *corev1.PodStatus) {
	part := &corev1.PodStatus{Conditions: status.Conditions}
	same(p, &status.Conditions, part)
	*part = corev1.PodStatus{ContainerStatuses: status.ContainerStatuses}
	same(p, &status.ContainerStatuses, part)
	*part = corev1.PodStatus{InitContainerStatuses: status.InitContainerStatuses}
	same(p, &status.InitContainerStatuses, part)
	*part = corev1.PodStatus{StartTime: status.StartTime}
	same(p, &status.StartTime, part)
	*part = corev1.PodStatus{HostIPs: status.HostIPs}
	same(p, &status.HostIPs, part)
	*part = corev1.PodStatus{PodIPs: status.PodIPs}
	same(p, &status.PodIPs, part)
}

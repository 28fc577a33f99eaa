// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stored decides what the caches hold of an object.
package stored

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
)

// Transform is the transform of every cache: it leaves out who wrote which field,
// which the syncer never asks, and has a pod share the strings that it has in
// common with others. A decoder makes a new string of every word; of a small
// pod's bytes those that others have, too, are a quarter.
func Transform() cache.TransformFunc {
	strip := ctrlcache.TransformStripManagedFields()
	return func(object any) (any, error) {
		object, err := strip(object)
		if pod, ok := object.(*corev1.Pod); ok && err == nil {
			internPod(pod)
		}
		return object, err
	}
}

// share replaces strings by equal ones that others hold already. What nobody
// holds any more is collected.
func share[S ~string](strings ...*S) {
	for _, s := range strings {
		*s = S(unique.Make(string(*s)).Value())
	}
}

func internPod(pod *corev1.Pod) {
	share(&pod.Namespace, &pod.GenerateName)
	pod.Labels, pod.Annotations = internMap(pod.Labels), internMap(pod.Annotations)
	spec, status := &pod.Spec, &pod.Status
	share(&spec.NodeName, &spec.ServiceAccountName, &spec.DeprecatedServiceAccount, &spec.SchedulerName, &spec.Subdomain, &spec.PriorityClassName)
	share(&spec.RestartPolicy)
	share(&spec.DNSPolicy)
	if spec.RuntimeClassName != nil {
		share(spec.RuntimeClassName)
	}
	if spec.PreemptionPolicy != nil {
		share(spec.PreemptionPolicy)
	}
	for _, containers := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range containers {
			internContainer(&containers[i])
		}
	}
	for i := range spec.Tolerations {
		share(&spec.Tolerations[i].Key, &spec.Tolerations[i].Value)
		share(&spec.Tolerations[i].Effect)
		share(&spec.Tolerations[i].Operator)
	}
	internStatus(status)
}

func internContainer(container *corev1.Container) {
	share(&container.Name, &container.Image, &container.TerminationMessagePath)
	share(&container.TerminationMessagePolicy)
	share(&container.ImagePullPolicy)
	for i := range container.Env {
		share(&container.Env[i].Name)
	}
	for i := range container.VolumeMounts {
		share(&container.VolumeMounts[i].Name, &container.VolumeMounts[i].MountPath)
	}
}

func internStatus(status *corev1.PodStatus) {
	share(&status.Phase)
	share(&status.QOSClass)
	share(&status.HostIP, &status.Reason)
	for i := range status.HostIPs {
		share(&status.HostIPs[i].IP)
	}
	for i := range status.Conditions {
		share(&status.Conditions[i].Type)
		share(&status.Conditions[i].Status)
		share(&status.Conditions[i].Reason, &status.Conditions[i].Message)
	}
	for _, statuses := range [][]corev1.ContainerStatus{status.InitContainerStatuses, status.ContainerStatuses} {
		for i := range statuses {
			share(&statuses[i].Name, &statuses[i].Image, &statuses[i].ImageID)
		}
	}
}

// internMap returns a map with the same content, whose keys are shared, and
// values too: most labels and annotations are those of a whole Deployment.
func internMap(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	interned := make(map[string]string, len(m))
	for key, value := range m {
		share(&key, &value)
		interned[key] = value
	}
	return interned
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ConfigMaps returns the names of the ConfigMaps that a pod refers to, sorted.
func ConfigMaps(object client.Object) []string { return references(object, refersToConfigMap) }

// Secrets returns the names of the Secrets that a pod refers to, sorted.
func Secrets(object client.Object) []string { return references(object, refersToSecret) }

// refersTo says which of two kinds is asked about.
type refersTo bool

const (
	refersToConfigMap refersTo = false
	refersToSecret    refersTo = true
)

func references(object client.Object, which refersTo) []string {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return nil
	}
	var names []string
	for i := range pod.Spec.Volumes {
		names = append(names, volumeReferences(&pod.Spec.Volumes[i].VolumeSource, which)...)
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			names = append(names, envReferences(&containers[i], which)...)
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		container := corev1.Container(pod.Spec.EphemeralContainers[i].EphemeralContainerCommon)
		names = append(names, envReferences(&container, which)...)
	}
	if which == refersToSecret {
		for _, reference := range pod.Spec.ImagePullSecrets {
			names = append(names, reference.Name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

func volumeReferences(source *corev1.VolumeSource, which refersTo) []string {
	switch {
	case source.ConfigMap != nil && which == refersToConfigMap:
		return []string{source.ConfigMap.Name}
	case source.Secret != nil && which == refersToSecret:
		return []string{source.Secret.SecretName}
	case source.Projected == nil:
		return nil
	}
	var names []string
	for _, projection := range source.Projected.Sources {
		if projection.ConfigMap != nil && which == refersToConfigMap {
			names = append(names, projection.ConfigMap.Name)
		}
		if projection.Secret != nil && which == refersToSecret {
			names = append(names, projection.Secret.Name)
		}
	}
	return names
}

func envReferences(container *corev1.Container, which refersTo) []string {
	var names []string
	for _, source := range container.EnvFrom {
		if source.ConfigMapRef != nil && which == refersToConfigMap {
			names = append(names, source.ConfigMapRef.Name)
		}
		if source.SecretRef != nil && which == refersToSecret {
			names = append(names, source.SecretRef.Name)
		}
	}
	for _, variable := range container.Env {
		names = append(names, variableReferences(variable.ValueFrom, which)...)
	}
	return names
}

func variableReferences(from *corev1.EnvVarSource, which refersTo) []string {
	switch {
	case from == nil:
		return nil
	case from.ConfigMapKeyRef != nil && which == refersToConfigMap:
		return []string{from.ConfigMapKeyRef.Name}
	case from.SecretKeyRef != nil && which == refersToSecret:
		return []string{from.SecretKeyRef.Name}
	default:
		return nil
	}
}

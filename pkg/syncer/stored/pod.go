// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package stored decides what the caches hold of an object.
package stored

import (
	"unique"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	ctrlcache "sigs.k8s.io/controller-runtime/pkg/cache"
)

// Transforms makes the transforms of caches whose objects share what they have
// in common. It is safe for concurrent use.
type Transforms struct{ pool *pool }

// NewTransforms returns the transforms of the caches of one process.
func NewTransforms() *Transforms { return &Transforms{pool: newPool()} }

// Transform leaves out who wrote which field, which the syncer never asks, and
// has pods and events share what they have in common with others. A decoder makes
// everything anew, but the pods of a Deployment differ in little more than their
// names, and a pod of a tenant from its own in the super cluster hardly in more.
func (t *Transforms) Transform() cache.TransformFunc {
	strip := ctrlcache.TransformStripManagedFields()
	return func(object any) (any, error) {
		object, err := strip(object)
		if err != nil {
			return object, err
		}
		switch object := object.(type) {
		case *corev1.Pod:
			internPod(object)
			sharePod(t.pool, object)
		case *corev1.Event:
			internEvent(object)
		}
		return object, nil
	}
}

// share replaces strings by equal ones that others hold already. What nobody
// holds any more is collected. A string that is shared already is not written
// again: an informer may have an object transformed twice, and others may be
// reading by then what it has in common with them.
func share[S ~string](strings ...*S) {
	for _, s := range strings {
		if shared := unique.Make(string(*s)).Value(); unsafe.StringData(shared) != unsafe.StringData(string(*s)) {
			*s = S(shared)
		}
	}
}

func internPod(pod *corev1.Pod) {
	share(&pod.Namespace, &pod.GenerateName)
	pod.Labels, pod.Annotations = internMap(pod.Labels), internKeys(pod.Annotations)
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

func internEvent(event *corev1.Event) {
	share(&event.Namespace, &event.Reason, &event.Type, &event.Action, &event.ReportingController, &event.ReportingInstance)
	share(&event.Source.Component, &event.Source.Host)
	about := &event.InvolvedObject
	share(&about.Kind, &about.APIVersion, &about.Namespace, &about.FieldPath)
}

// internMap returns a map with the same content, whose keys are shared, and
// values too: labels are mostly those of a whole Deployment.
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

// internKeys is internMap without the values: annotations name what they are of,
// and to look for others that have the same takes more than it saves.
func internKeys(m map[string]string) map[string]string {
	if m == nil {
		return nil
	}
	interned := make(map[string]string, len(m))
	for key, value := range m {
		share(&key)
		interned[key] = value
	}
	return interned
}

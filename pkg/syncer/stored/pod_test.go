// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package stored

import (
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func pod(name string) *corev1.Pod {
	class := "gvisor"
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: name, Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"example.com/a": name},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		},
		Spec: corev1.PodSpec{
			RuntimeClassName: &class, RestartPolicy: corev1.RestartPolicyAlways,
			Containers: []corev1.Container{{
				Name: "main", Image: "registry.example/app:v1",
				Env:          []corev1.EnvVar{{Name: "MODE", Value: name}},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
			}},
			Tolerations: []corev1.Toleration{{Key: "example.com/taint", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}},
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodRunning, HostIPs: []corev1.HostIP{{IP: "192.0.2.1"}}, PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}},
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Image: "registry.example/app:v1", ContainerID: name}},
		},
	}
}

// decoded is a pod as it comes from an API server, with strings of its own.
func decoded(t *testing.T, name string) *corev1.Pod {
	t.Helper()
	data, err := pod(name).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	own := &corev1.Pod{}
	if err := own.Unmarshal(data); err != nil {
		t.Fatal(err)
	}
	return own
}

func transformed(t *testing.T, transforms *Transforms, name string) *corev1.Pod {
	t.Helper()
	object, err := transforms.Transform()(decoded(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return object.(*corev1.Pod)
}

// TestAPodMeansTheSame: all that is missing is who wrote it.
func TestAPodMeansTheSame(t *testing.T) {
	want := pod("web-1")
	want.ManagedFields = nil
	if diff := cmp.Diff(want, transformed(t, NewTransforms(), "web-1")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestPodsShareTheirWords: what two pods have in common is in memory once.
func TestPodsShareTheirWords(t *testing.T) {
	// Strings are one for all caches, whatever they are made by.
	one, other := transformed(t, NewTransforms(), "web-1"), transformed(t, NewTransforms(), "web-2")
	for name, words := range map[string][2]string{
		"namespace":        {one.Namespace, other.Namespace},
		"a label":          {one.Labels["app"], other.Labels["app"]},
		"runtime class":    {*one.Spec.RuntimeClassName, *other.Spec.RuntimeClassName},
		"restart policy":   {string(one.Spec.RestartPolicy), string(other.Spec.RestartPolicy)},
		"image":            {one.Spec.Containers[0].Image, other.Spec.Containers[0].Image},
		"variable":         {one.Spec.Containers[0].Env[0].Name, other.Spec.Containers[0].Env[0].Name},
		"mount":            {one.Spec.Containers[0].VolumeMounts[0].MountPath, other.Spec.Containers[0].VolumeMounts[0].MountPath},
		"toleration":       {one.Spec.Tolerations[0].Key, other.Spec.Tolerations[0].Key},
		"condition":        {string(one.Status.Conditions[0].Type), string(other.Status.Conditions[0].Type)},
		"host":             {one.Status.HostIPs[0].IP, other.Status.HostIPs[0].IP},
		"image that runs":  {one.Status.ContainerStatuses[0].Image, other.Spec.Containers[0].Image},
		"its phase, named": {string(one.Status.Phase), string(other.Status.Phase)},
	} {
		if !sameString(words[0], words[1]) {
			t.Errorf("%s: %q is in memory twice", name, words[0])
		}
	}
}

func sameString(a, b string) bool { return a == b && unsafe.StringData(a) == unsafe.StringData(b) }

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
)

func cpus(request, limit string) corev1.ResourceRequirements {
	var out corev1.ResourceRequirements
	if request != "" {
		out.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(request)}
	}
	if limit != "" {
		out.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(limit)}
	}
	return out
}

func asking(name, request, limit string) corev1.Container {
	return corev1.Container{Name: name, Resources: cpus(request, limit)}
}

// TestDemand: a pod counts as much as the super cluster's scheduler reckons.
func TestDemand(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	sidecar := asking("sidecar", "1", "")
	sidecar.RestartPolicy = &always
	resized := func(reason string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.Containers = []corev1.Container{asking("a", "4", "")}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "a", AllocatedResources: cpus("2", "").Requests}}
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodResizePending, Status: corev1.ConditionTrue, Reason: reason}}
		}
	}
	cases := map[string]struct {
		change func(*corev1.Pod)
		want   string // of cpu
	}{
		"nothing": {func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{asking("a", "", "")} }, "0"},
		"containers": {func(p *corev1.Pod) {
			p.Spec.Containers = []corev1.Container{asking("a", "1", "3"), asking("b", "2", "")}
		}, "3"},
		"limits only":     {func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{asking("a", "", "3")} }, "3"},
		"a request of 0":  {func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{asking("a", "0", "3")} }, "0"},
		"less than none":  {func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{asking("a", "-3", "")} }, "0"},
		"a large init":    {func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{asking("i", "", "5")} }, "5"},
		"a small init":    {func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{asking("i", "500m", "")} }, "1"},
		"a sidecar":       {func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{sidecar} }, "2"},
		"init by sidecar": {func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{sidecar, asking("i", "5", "")} }, "6"},
		"of the pod": {func(p *corev1.Pod) {
			resources := cpus("7", "")
			p.Spec.Resources = &resources
		}, "7"},
		"limits of the pod": {func(p *corev1.Pod) {
			resources := cpus("", "7")
			p.Spec.Resources, p.Spec.Containers = &resources, []corev1.Container{asking("a", "", "")}
		}, "7"},
		"less of the pod than of its containers": {func(p *corev1.Pod) {
			// An API server refuses it, or it knows no resources of pods and ignores them.
			resources := cpus("1m", "1m")
			p.Spec.Resources, p.Spec.Containers = &resources, []corev1.Container{asking("a", "7", "")}
		}, "7"},
		"less of the pod than of an init container": {func(p *corev1.Pod) {
			resources := cpus("", "1m")
			p.Spec.Resources, p.Spec.InitContainers = &resources, []corev1.Container{asking("i", "", "7")}
		}, "7"},
		"limits of the pod, requests of a container": {func(p *corev1.Pod) {
			resources := cpus("", "7")
			p.Spec.Resources = &resources
		}, "1"},
		"the sandbox's overhead": {func(p *corev1.Pod) {
			sandbox := "gvisor"
			p.Spec.RuntimeClassName = &sandbox
		}, "1250m"},
		"an overhead that the pod says itself": {func(p *corev1.Pod) { p.Spec.Overhead = cpus("-1", "").Requests }, "1"},
		"an unknown sandbox": {func(p *corev1.Pod) {
			sandbox := "other"
			p.Spec.RuntimeClassName = &sandbox
		}, "1"},
		"existing, with overhead": {func(p *corev1.Pod) { p.UID, p.Spec.Overhead = "1", cpus("2", "").Requests }, "3"},
		"growing":                 {func(p *corev1.Pod) { p.UID = "1"; resized(corev1.PodReasonDeferred)(p) }, "4"},
		"growing in vain":         {func(p *corev1.Pod) { p.UID = "1"; resized(corev1.PodReasonInfeasible)(p) }, "4"},
		"not shrunk yet": {func(p *corev1.Pod) {
			p.UID = "1"
			p.Spec.Containers = []corev1.Container{asking("a", "1", "")}
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "a", AllocatedResources: cpus("2", "").Requests}}
		}, "2"},
	}
	catalogue := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(&nodev1.RuntimeClass{
		ObjectMeta: metav1.ObjectMeta{Name: "gvisor"}, Handler: "runsc",
		Overhead: &nodev1.Overhead{PodFixed: cpus("250m", "").Requests},
	}).Build()
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{asking("a", "1", "")}}}
			tc.change(pod)
			before := pod.DeepCopy()
			got, err := demand(t.Context(), catalogue, pod)
			if err != nil {
				t.Fatal(err)
			}
			if count := got[corev1.ResourcePods]; count.Value() != 1 || got.Cpu().Cmp(resource.MustParse(tc.want)) != 0 {
				t.Errorf("it asks for %v, want cpu %s and one pod", got, tc.want)
			}
			if !equality.Semantic.DeepEqual(before, pod) {
				t.Error("the pod was changed")
			}
		})
	}
	for _, phase := range []corev1.PodPhase{corev1.PodSucceeded, corev1.PodFailed} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{asking("a", "1", "")}}, Status: corev1.PodStatus{Phase: phase}}
		if got, err := demand(t.Context(), catalogue, pod); got != nil || err != nil {
			t.Errorf("a pod that is %s asks for %v, %v", phase, got, err)
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestALivingPod changes a pod while it runs, as its tenant does, and lets a
// real kubelet answer.
func TestALivingPod(t *testing.T) {
	tn := newTenant(t, "living")
	if err := tn.client.Create(t.Context(), newPod("default", "living", func(pod *corev1.Pod) {
		pod.Spec.Hostname, pod.Spec.Subdomain = "here", "sub"
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}
		pod.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/open"}}
		pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"apart": "yes"}},
				NamespaceSelector: &metav1.LabelSelector{},
			}},
		}}
		pod.Labels["apart"] = "yes"
	})); err != nil {
		t.Fatal(err)
	}
	eventuallyPod(t, tn.client, "living", "running behind its gate", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodRunning && podCondition(p, corev1.PodReady).Reason == "ReadinessGatesNotReady"
	})
	t.Run("readiness gate", func(t *testing.T) {
		tn.kubectl(t, "patch", "pod", "living", "--subresource=status", "-p",
			`{"status":{"conditions":[{"type":"example.com/open","status":"True"}]}}`)
		tn.waitRunning(t, "default", "living")
		superPod := &corev1.Pod{}
		if err := superClient.Get(t.Context(), tn.superKey("default", "living"), superPod); err != nil {
			t.Fatal(err)
		}
		if podCondition(superPod, corev1.PodReady).Status != corev1.ConditionTrue {
			t.Errorf("the super cluster's kubelet says %+v", superPod.Status.Conditions)
		}
	})
	t.Run("debug container", func(t *testing.T) {
		tn.kubectl(t, "debug", "living", "--image="+imageAgnhost, "--container=debugger", "--attach=false", "--profile=baseline", "--", "/agnhost", "pause")
		eventuallyPod(t, tn.client, "living", "the debug container running", func(p *corev1.Pod) bool {
			return len(p.Status.EphemeralContainerStatuses) == 1 && p.Status.EphemeralContainerStatuses[0].State.Running != nil
		})
		if got := strings.TrimSpace(tn.kubectl(t, "exec", "living", "-c", "debugger", "--", "hostname")); got != "here" {
			t.Errorf("host name %q", got)
		}
	})
	t.Run("resize", func(t *testing.T) {
		tn.kubectl(t, "patch", "pod", "living", "--subresource=resize", "-p",
			`{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"20m"}}}]}}`)
		eventuallyPod(t, tn.client, "living", "resized", func(p *corev1.Pod) bool {
			status := p.Status.ContainerStatuses[0]
			return status.Resources != nil && status.Resources.Requests.Cpu().MilliValue() == 20 && p.Status.ObservedGeneration == p.Generation
		})
	})
	t.Run("no room for a second that must stand apart", func(t *testing.T) {
		second := newPod("default", "second")
		second.Labels["apart"] = "yes"
		if err := tn.client.Create(t.Context(), second); err != nil {
			t.Fatal(err)
		}
		const want = "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules."
		eventuallyPod(t, tn.client, "second", "unschedulable", func(p *corev1.Pod) bool {
			return podCondition(p, corev1.PodScheduled).Message == want
		})
	})
}

func podCondition(pod *corev1.Pod, conditionType corev1.PodConditionType) corev1.PodCondition {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == conditionType {
			return condition
		}
	}
	return corev1.PodCondition{}
}

// eventuallyPod waits until a pod of the default namespace is as wanted.
func eventuallyPod(t *testing.T, c client.Client, name, what string, wanted func(*corev1.Pod) bool) {
	t.Helper()
	eventually(t, time.Minute, "pod "+name+" "+what, func(ctx context.Context) error {
		pod := &corev1.Pod{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, pod); err != nil {
			return err
		}
		if !wanted(pod) {
			return fmt.Errorf("status %+v", pod.Status)
		}
		return nil
	})
}

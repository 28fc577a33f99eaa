// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// testDebug adds a debug container to a running pod.
func testDebug(t *testing.T, w *workload) {
	w.startClient(t)
	w.in(t, "debug", "client", "--image=docker.io/library/busybox:1.36", "--container=debugger", "--", "echo", "from the debugger")
	eventually(t, 30*time.Second, "the debug container's end", func(ctx context.Context) error {
		pod := &corev1.Pod{}
		if err := w.fetch(ctx, "client", pod); err != nil {
			return err
		}
		for _, status := range pod.Status.EphemeralContainerStatuses {
			if status.Name == "debugger" && status.State.Terminated != nil {
				return nil
			}
		}
		return fmt.Errorf("statuses %v", pod.Status.EphemeralContainerStatuses)
	})
	if got := w.in(t, "logs", "client", "--container=debugger"); got != "from the debugger" {
		t.Errorf("the debug container wrote %q", got)
	}
}

// testResize changes a running container's resources in place.
func testResize(t *testing.T, w *workload) {
	pod := newPod(w.namespace, "grows", func(pod *corev1.Pod) {
		pod.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")}
	})
	if err := w.client.Create(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	w.waitRunning(t, w.namespace, "grows")
	w.in(t, "patch", "pod", "grows", "--subresource=resize", "--type=strategic",
		"--patch", `{"spec":{"containers":[{"name":"main","resources":{"requests":{"cpu":"30m"}}}]}}`)
	superPod := &corev1.Pod{}
	eventually(t, 20*time.Second, "the super pod's new resources", func(ctx context.Context) error {
		if err := superClient.Get(ctx, w.superKey(w.namespace, "grows"), superPod); err != nil {
			return err
		}
		if got := superPod.Spec.Containers[0].Resources.Requests.Cpu().MilliValue(); got != 30 {
			return fmt.Errorf("%dm", got)
		}
		return nil
	})
	eventually(t, 20*time.Second, "the resize done, in the tenant's eyes", func(ctx context.Context) error {
		if err := w.fetch(ctx, "grows", pod); err != nil {
			return err
		}
		if got := pod.Status.ContainerStatuses[0].Resources; got == nil || got.Requests.Cpu().MilliValue() != 30 {
			return fmt.Errorf("the status says %+v, the conditions are %+v", got, pod.Status.Conditions)
		}
		return nil
	})
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
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
	pod := newPod(w.namespace, "grows")
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
}

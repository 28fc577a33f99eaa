// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
)

// TestComponentsAreKilled kills each component with SIGKILL in the middle of
// ten pod creations: all ten run, and none was made twice.
func TestComponentsAreKilled(t *testing.T) {
	tn := newTenant(t, "killed")
	for _, component := range []string{"vc-manager", "syncer", "vn-agent"} {
		t.Run(component, func(t *testing.T) {
			made := watchSuperPods(t, tn)
			const pods, killAfter = 10, 4
			for i := range pods {
				if i == killAfter {
					kill(t, component)
				}
				if err := tn.client.Create(t.Context(), newPod("default", fmt.Sprintf("%s-%d", component, i))); err != nil {
					t.Fatal(err)
				}
			}
			want := map[types.UID]bool{}
			for i := range pods {
				want[tn.waitRunning(t, "default", fmt.Sprintf("%s-%d", component, i)).UID] = true
			}
			for uid, superUIDs := range made() {
				if want[uid] && len(superUIDs) != 1 {
					t.Errorf("the tenant's pod %s was made %d times in the super cluster", uid, len(superUIDs))
				}
			}
			// The component is back, not only its work done.
			must(t, "kubectl", "--kubeconfig", superKubeconfig, "-n", platformNamespace, "rollout", "status", "deployment/"+component, "--timeout=60s")
			if err := tn.client.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace("default")); err != nil {
				t.Fatal(err)
			}
			eventually(t, time.Minute, "no pods", func(ctx context.Context) error {
				list := &corev1.PodList{}
				if err := tn.client.List(ctx, list, client.InNamespace("default")); err != nil {
					return err
				}
				if len(list.Items) > 0 {
					return fmt.Errorf("%d pods", len(list.Items))
				}
				return nil
			})
		})
	}
}

// TestManagerIsKilledWhileItCreates: what was begun is finished after the restart.
func TestManagerIsKilledWhileItCreates(t *testing.T) {
	const name = "resumed"
	t.Cleanup(func() { deleteTenant(t, name) })
	must(t, "kubectl-vc", "create", name)
	kill(t, "vc-manager")
	must(t, "kubectl-vc", "create", name, "--wait", "--timeout=90s")
	openTenant(t, name).kubectl(t, "get", "nodes")
}

// kill ends a component's process with SIGKILL, through the container runtime.
func kill(t *testing.T, component string) {
	t.Helper()
	id := ""
	eventually(t, time.Minute, "a running container of "+component, func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := superClient.List(ctx, pods, client.InNamespace(platformNamespace), client.MatchingLabels{"app.kubernetes.io/name": component}); err != nil {
			return err
		}
		for _, pod := range pods.Items {
			for _, status := range pod.Status.ContainerStatuses {
				if status.State.Running != nil {
					id = strings.TrimPrefix(status.ContainerID, "containerd://")
					return nil
				}
			}
		}
		return fmt.Errorf("%d pods, none runs", len(pods.Items))
	})
	killContainer(t, id)
}

// killContainer ends a container's process with SIGKILL, through the container runtime.
func killContainer(t *testing.T, id string) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), filepath.Join(binDir, "ctr"),
		"--address", containerdSocket(t), "--namespace", "k8s.io",
		"tasks", "kill", "--signal", "SIGKILL", id).CombinedOutput()
	if err != nil {
		t.Fatalf("killing container %s: %v: %s", id, err, output)
	}
}

// containerdSocket is the container runtime's socket, which lies in the local
// super cluster's own mount namespace: it is reached through its process.
func containerdSocket(t *testing.T) string {
	t.Helper()
	recorded, err := os.ReadFile(filepath.Join(localDir, "pids", "containerd"))
	if err != nil {
		t.Fatal(err)
	}
	pid, _, _ := strings.Cut(strings.TrimSpace(string(recorded)), " ")
	return filepath.Join("/proc", pid, "root", "run", "containerd", "containerd.sock")
}

// watchSuperPods records every pod that the super cluster ever has for a
// tenant from now on. The returned function ends the watch and returns the
// UIDs of super pods by the UID of the tenant's pod.
func watchSuperPods(t *testing.T, tn *tenant) func() map[types.UID]map[types.UID]bool {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	watcher, err := superClient.Watch(ctx, &corev1.PodList{}, &client.ListOptions{LabelSelector: identity.TenantSelector(string(tn.object.UID))})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	made := map[types.UID]map[types.UID]bool{}
	var recording sync.WaitGroup
	recording.Go(func() {
		for event := range watcher.ResultChan() {
			pod, isPod := event.Object.(*corev1.Pod)
			if !isPod || event.Type == watch.Bookmark {
				continue
			}
			owner, _ := identity.Of(pod)
			if made[owner.UID] == nil {
				made[owner.UID] = map[types.UID]bool{}
			}
			made[owner.UID][pod.UID] = true
		}
	})
	return func() map[types.UID]map[types.UID]bool {
		cancel()
		watcher.Stop()
		recording.Wait()
		return maps.Clone(made)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"hash/fnv"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"virtualcluster.io/virtualcluster/pkg/identity"
)

// kubeletWorkers is how many pods the fake kubelet serves at once.
const kubeletWorkers = 6

// kubelet plays the super cluster's scheduler and kubelet: it binds the
// syncer's pods to superNode, reports them Running, and lets terminating pods
// go. It stands for the real ones only in what the syncer sees of them.
type kubelet struct {
	environment *environment
	lanes       [kubeletWorkers]chan *corev1.Pod

	mu sync.Mutex
	// runs are the super pods that were ever seen for a tenant's pod.
	runs map[types.UID]map[types.UID]bool
}

// runFakeKubelet runs a kubelet until the test ends.
func (e *environment) runFakeKubelet(t *testing.T) *kubelet {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	k := &kubelet{environment: e, runs: map[types.UID]map[types.UID]bool{}}
	var running sync.WaitGroup
	for i := range k.lanes {
		k.lanes[i] = make(chan *corev1.Pod, 1<<14)
		running.Go(func() { k.serve(ctx, t, k.lanes[i]) })
	}
	running.Go(func() { k.watch(ctx) })
	running.Go(func() { wait.UntilWithContext(ctx, k.heartbeat, 10*time.Second) })
	running.Go(func() { wait.UntilWithContext(ctx, k.sweep, 5*time.Second) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return k
}

// watch follows the super pods, also over a restart of the super cluster.
func (k *kubelet) watch(ctx context.Context) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		stamped := client.MatchingLabelsSelector{Selector: identity.Selector()}
		var pods corev1.PodList
		if k.environment.superClient.List(ctx, &pods, stamped) != nil {
			return // again in a moment
		}
		for i := range pods.Items {
			k.see(&pods.Items[i])
		}
		watcher, err := k.environment.superClient.Watch(ctx, &corev1.PodList{}, stamped,
			&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: pods.ResourceVersion}})
		if err != nil {
			return
		}
		defer watcher.Stop()
		for event := range watcher.ResultChan() {
			if superPod, ok := event.Object.(*corev1.Pod); ok && event.Type != watch.Deleted {
				k.see(superPod)
			}
		}
	}, 200*time.Millisecond)
}

// see hands a pod to the one worker that serves it, in order.
func (k *kubelet) see(superPod *corev1.Pod) {
	if owner, ok := identity.Of(superPod); ok {
		k.mu.Lock()
		if k.runs[owner.UID] == nil {
			k.runs[owner.UID] = map[types.UID]bool{}
		}
		k.runs[owner.UID][superPod.UID] = true
		k.mu.Unlock()
	}
	k.lanes[hash(superPod.UID)%kubeletWorkers] <- superPod
}

func (k *kubelet) serve(ctx context.Context, t *testing.T, pods <-chan *corev1.Pod) {
	for {
		select {
		case <-ctx.Done():
			return
		case superPod := <-pods:
			err := k.step(ctx, superPod)
			// What it saw of the pod may be old, and its namespace going.
			old := apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsForbidden(err)
			if err != nil && !old && ctx.Err() == nil {
				t.Logf("fake kubelet: %v", err)
			}
		}
	}
}

// timesRun returns how many super pods there ever were for each tenant pod.
func (k *kubelet) timesRun() map[types.UID]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	times := map[types.UID]int{}
	for uid, superPods := range k.runs {
		times[uid] = len(superPods)
	}
	return times
}

// forgetRuns begins a new count.
func (k *kubelet) forgetRuns() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.runs)
}

// heartbeat keeps the node ready, so that the super cluster evicts nothing.
func (k *kubelet) heartbeat(ctx context.Context) {
	now := metav1.NewMicroTime(time.Now())
	seconds, holder := int32(40), superNode
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: superNode},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
	superClient := k.environment.superClient
	if client.IgnoreAlreadyExists(superClient.Create(ctx, lease)) != nil {
		return // the super cluster is down
	}
	renewal := fmt.Appendf(nil, `{"spec":{"renewTime":%q}}`, now.Format(metav1.RFC3339Micro))
	_ = superClient.Patch(ctx, lease, client.RawPatch(types.MergePatchType, renewal))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: superNode}}
	ready := fmt.Appendf(nil, `{"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady","lastHeartbeatTime":%q}]}}`, now.UTC().Format(time.RFC3339))
	_ = superClient.Status().Patch(ctx, node, client.RawPatch(types.StrategicMergePatchType, ready))
}

// sweep ends what is terminating still, as a kubelet does: the syncer may have
// been killed in the middle of a deletion.
func (k *kubelet) sweep(ctx context.Context) {
	superClient := k.environment.superClient
	var pods corev1.PodList
	if superClient.List(ctx, &pods, client.MatchingLabelsSelector{Selector: identity.Selector()}) != nil {
		return
	}
	for i := range pods.Items {
		superPod := &pods.Items[i]
		if at := superPod.DeletionTimestamp; at != nil && time.Since(at.Time) > 5*time.Second && len(superPod.Finalizers) == 0 {
			_ = superClient.Delete(ctx, superPod, client.GracePeriodSeconds(0), client.Preconditions{UID: &superPod.UID})
		}
	}
}

func (k *kubelet) step(ctx context.Context, superPod *corev1.Pod) error {
	e := k.environment
	switch {
	case superPod.DeletionTimestamp != nil && *superPod.DeletionGracePeriodSeconds == 0:
		return nil // what a deletion without grace writes just before the end
	case superPod.DeletionTimestamp != nil && controllerutil.ContainsFinalizer(superPod, hold):
		return nil // a container that takes long to stop
	case superPod.DeletionTimestamp != nil:
		return e.superClient.Delete(ctx, superPod, client.GracePeriodSeconds(0), client.Preconditions{UID: &superPod.UID})
	case superPod.Spec.NodeName == "":
		binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: superNode}}
		return e.superClient.SubResource("binding").Create(ctx, superPod, binding)
	case superPod.Status.StartTime == nil:
		return e.setCreating(ctx, superPod)
	case superPod.Status.Phase == corev1.PodPending:
		return e.setRunning(ctx, superPod)
	}
	return nil
}

// setCreating is a kubelet's first word about a pod.
func (e *environment) setCreating(ctx context.Context, superPod *corev1.Pod) error {
	before := superPod.DeepCopy()
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	superPod.Status.StartTime = &now
	superPod.Status.HostIP, superPod.Status.HostIPs = "198.51.100.7", []corev1.HostIP{{IP: "198.51.100.7"}}
	for _, container := range superPod.Spec.Containers {
		superPod.Status.ContainerStatuses = append(superPod.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
		})
	}
	return e.superClient.Status().Patch(ctx, superPod, client.StrategicMergeFrom(before))
}

func (e *environment) setRunning(ctx context.Context, superPod *corev1.Pod) error {
	before := superPod.DeepCopy()
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	status := &superPod.Status
	status.Phase, status.ContainerStatuses = corev1.PodRunning, nil
	status.PodIP = podIP(superPod.UID)
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	ready := true
	for _, container := range superPod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, ImageID: "sha256:0", ContainerID: "containerd://0", Ready: true, Started: &ready,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	for _, condition := range []corev1.PodConditionType{corev1.PodInitialized, corev1.PodReady, corev1.ContainersReady} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	return e.superClient.Status().Patch(ctx, superPod, client.StrategicMergeFrom(before))
}

// podIP is an address that tells pods apart, so that a status that reached the
// wrong pod is seen.
func podIP(uid types.UID) string {
	h := hash(uid)
	return fmt.Sprintf("10.244.%d.%d", h>>8&0xff, h&0xff)
}

func hash(uid types.UID) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(uid))
	return h.Sum32()
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
)

// runFakeKubelet plays the super cluster's scheduler and kubelet: it binds the
// syncer's pods to superNode, reports them Running, and lets terminating pods
// go. It stands for the real ones only in what the syncer sees of them.
func (e *environment) runFakeKubelet(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	pods, err := e.superClient.Watch(ctx, &corev1.PodList{}, client.MatchingLabelsSelector{Selector: identity.Selector()})
	must(t, err)
	go func() {
		defer close(done)
		for event := range pods.ResultChan() {
			if superPod, ok := event.Object.(*corev1.Pod); ok && event.Type != watch.Deleted {
				if err := e.kubeletStep(ctx, superPod); client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
					t.Logf("fake kubelet: %v", err)
				}
			}
		}
	}()
	t.Cleanup(func() { cancel(); pods.Stop(); <-done })
}

func (e *environment) kubeletStep(ctx context.Context, superPod *corev1.Pod) error {
	switch {
	case superPod.DeletionTimestamp != nil && *superPod.DeletionGracePeriodSeconds == 0:
		return nil // what a deletion without grace writes just before the end
	case superPod.DeletionTimestamp != nil:
		return e.superClient.Delete(ctx, superPod, client.GracePeriodSeconds(0))
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
	status.PodIP, status.PodIPs = "10.244.0.5", []corev1.PodIP{{IP: "10.244.0.5"}}
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

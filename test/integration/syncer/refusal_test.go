// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// testRefusals: what must not run is not created in the super cluster, and the
// tenant's pod says once which field is why.
func testRefusals(t *testing.T, e *environment, tn *tenant) {
	privileged := true
	cases := map[string]struct {
		change func(*corev1.PodSpec)
		want   string
	}{
		"hostnetwork": {func(s *corev1.PodSpec) { s.HostNetwork = true }, "spec.hostNetwork"},
		"hostpath": {func(s *corev1.PodSpec) {
			s.Volumes = []corev1.Volume{{Name: "h", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}}}
		}, "spec.volumes[0].hostPath"},
		"privileged": {func(s *corev1.PodSpec) {
			s.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &privileged}
		}, "spec.containers[0].securityContext.privileged"},
		"nodename": {func(s *corev1.PodSpec) { s.NodeName = superNode }, "spec.nodeName"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := makePod("default", "refused-"+name)
			tc.change(&pod.Spec)
			must(t, tn.client.Create(t.Context(), pod))
			eventually(t, "the event", func(ctx context.Context) error { return oneEvent(ctx, tn, pod, tc.want) })
			consistently(t, "no super pod, no second event", 500*time.Millisecond, func(ctx context.Context) error {
				superPod := &corev1.Pod{}
				superPod.Namespace, superPod.Name = tn.superKey("default", "").Namespace, pod.Name
				if err := gone(ctx, e.superClient, superPod); err != nil {
					return err
				}
				return oneEvent(ctx, tn, pod, tc.want)
			})
		})
	}
}

// oneEvent checks that the pod has exactly one SyncRejected event, about the field.
func oneEvent(ctx context.Context, tn *tenant, pod *corev1.Pod, field string) error {
	var events corev1.EventList
	if err := tn.client.List(ctx, &events, client.InNamespace(pod.Namespace)); err != nil {
		return err
	}
	var messages []string
	for _, event := range events.Items {
		if event.InvolvedObject.UID == pod.UID && event.Reason == "SyncRejected" {
			messages = append(messages, event.Message)
		}
	}
	if len(messages) != 1 || !strings.HasPrefix(messages[0], field+": ") {
		return fmt.Errorf("events %q, want one about %s", messages, field)
	}
	return nil
}

// testForeignScheduler: a pod that a scheduler of the tenant's binds is refused
// with an event, and not deleted as if its super pod had vanished.
func testForeignScheduler(t *testing.T, e *environment, tn *tenant) {
	pod := makePod("default", "bound-elsewhere")
	pod.Spec.SchedulerName = "the-tenants-own"
	must(t, tn.client.Create(t.Context(), pod))
	binding := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: tenancyv1alpha1.VirtualNodeName}}
	must(t, tn.client.SubResource("binding").Create(t.Context(), pod, binding))
	eventually(t, "the event", func(ctx context.Context) error { return oneEventAbout(ctx, tn, pod, "spec.nodeName") })
	consistently(t, "the pod stays, without a super pod", 500*time.Millisecond, func(ctx context.Context) error {
		superPod := &corev1.Pod{}
		superPod.Namespace, superPod.Name = tn.superKey("default", "").Namespace, pod.Name
		if err := gone(ctx, e.superClient, superPod); err != nil {
			return err
		}
		return tn.client.Get(ctx, client.ObjectKeyFromObject(pod), &corev1.Pod{})
	})
	must(t, tn.client.Delete(t.Context(), pod))
	eventually(t, "the pod gone", func(ctx context.Context) error { return gone(ctx, tn.client, pod) })
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// setQuota does what vc-manager does when a quota is another.
func (e *environment) setQuota(t *testing.T, tn *tenant, quota corev1.ResourceList) {
	t.Helper()
	must(t, e.superClient.Get(t.Context(), client.ObjectKeyFromObject(tn.vc), tn.vc))
	before := tn.vc.DeepCopy()
	tn.vc.Status.Quota = quota
	must(t, e.superClient.Status().Patch(t.Context(), tn.vc, client.MergeFrom(before)))
}

// held checks that a pod is held by the quota, and says so once and in its condition.
func held(ctx context.Context, e *environment, tn *tenant, pod *corev1.Pod, why string) error {
	if err := tn.client.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
		return err
	}
	said := false
	for _, condition := range pod.Status.Conditions {
		said = said || condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse &&
			condition.Reason == corev1.PodReasonUnschedulable && strings.Contains(condition.Message, why)
	}
	if !said {
		return fmt.Errorf("conditions %+v do not say %q", pod.Status.Conditions, why)
	}
	key := tn.superKey(pod.Namespace, pod.Name)
	super := &corev1.Pod{}
	super.Namespace, super.Name = key.Namespace, key.Name
	return errors.Join(gone(ctx, e.superClient, super), eventWith(ctx, tn, pod, "FailedScheduling", "0/1 nodes are available: 1 "))
}

// TestQuota: against real API servers, pods beyond the quota wait, are told within
// 10 s, and run when others end, when the quota is raised, and after a restart.
func TestQuota(t *testing.T) {
	e := newEnvironment(t)
	e.runFakeKubelet(t)
	tn := e.addTenant(t, "quota", "10.112.0.0/22")
	quota := func(cpu, pods string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourcePods: resource.MustParse(pods)}
	}
	e.setQuota(t, tn, quota("2", "3"))
	stop := e.startSyncer(t)
	e.waitSynced(t, tn)
	tn.waitServiceAccount(t, "default")
	create := func(name, cpu string) *corev1.Pod {
		t.Helper()
		pod := makePod("default", name)
		pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
		must(t, tn.client.Create(t.Context(), pod))
		return pod
	}
	first := create("first", "1500m")
	tn.waitRunning(t, "default", "first")

	second := create("second", "600m")
	began := time.Now()
	const why = "cpu: 1500m of 2 used, 600m more asked for"
	eventually(t, "the second is held", func(ctx context.Context) error { return held(ctx, e, tn, second, why) })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("told after %s", took)
	}
	consistently(t, "the second is held, and told once", 3*time.Second, func(ctx context.Context) error { return held(ctx, e, tn, second, why) })
	create("small", "500m")
	tn.waitRunning(t, "default", "small")

	must(t, tn.client.Delete(t.Context(), first))
	tn.waitRunning(t, "default", "second")

	third := create("third", "1")
	eventually(t, "the third is held", func(ctx context.Context) error {
		return held(ctx, e, tn, third, "cpu: 1100m of 2 used, 1 more asked for")
	})
	e.setQuota(t, tn, quota("3", "3"))
	tn.waitRunning(t, "default", "third")

	stop()
	stop = e.startSyncer(t)
	defer stop()
	e.waitSynced(t, tn)
	fourth := create("fourth", "1m")
	eventually(t, "the fourth is held", func(ctx context.Context) error {
		return held(ctx, e, tn, fourth, "pods: 3 of 3 used, 1 more asked for")
	})
	e.setQuota(t, tn, nil)
	tn.waitRunning(t, "default", "fourth")
}

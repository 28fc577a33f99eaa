// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// TestQuota: a tenant has what its class says, sees it on its node, is told of
// the pod that is too much, and gets more up to what the class allows.
func TestQuota(t *testing.T) {
	class := newClass(t, "bounded", func(spec *tenancyv1alpha1.VirtualClusterClassSpec) {
		spec.Quota.Default = amounts("1", "3")
		spec.Quota.Max = amounts("1", "4")
	})
	tn := newTenantOf(t, "bounded", class.Name)
	dnsReady(t, tn) // CoreDNS is the first of its pods.
	tn.waitAllocatable(t, "1", "3")
	for _, name := range []string{"first", "second", "third"} {
		if err := tn.client.Create(t.Context(), newPod("default", name)); err != nil {
			t.Fatal(err)
		}
		if name != "third" {
			tn.waitRunning(t, "default", name)
		}
	}
	eventually(t, toldWithin, "the third is told why it waits", func(ctx context.Context) error {
		return tn.unplaced(ctx, "third", "pods: 3 of 3 used, 1 more asked for")
	})
	wantToldOnce(t, tn, "third")

	tn.mustPatchTenant(t, `{"spec":{"quota":{"pods":"9"}}}`)
	waitCondition(t, tn.object, toldWithin, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonQuotaExceedsMaximum)
	if got, want := condition(tn.object, tenancyv1alpha1.ConditionUpToDate).Message, "pods 9 (at most 4)"; !strings.Contains(got, want) {
		t.Errorf("UpToDate says %q, want %q", got, want)
	}
	tn.waitRunning(t, "default", "third") // The most is in force.
	tn.mustPatchTenant(t, `{"spec":{"quota":{"pods":"4"}}}`)
	waitCondition(t, tn.object, toldWithin, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	tn.waitAllocatable(t, "1", "4")

	if err := tn.client.Create(t.Context(), newPod("default", "fourth")); err != nil {
		t.Fatal(err)
	}
	eventually(t, toldWithin, "the fourth is told why it waits", func(ctx context.Context) error {
		return tn.unplaced(ctx, "fourth", "pods: 4 of 4 used, 1 more asked for")
	})
	tn.kubectl(t, "delete", "pod", "first", "--wait=false")
	tn.waitRunning(t, "default", "fourth")
}

func amounts(cpu, pods string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourcePods: resource.MustParse(pods)}
}

// waitAllocatable waits until the tenant's node shows these amounts.
func (tn *tenant) waitAllocatable(t *testing.T, cpu, pods string) {
	t.Helper()
	eventually(t, toldWithin, "the node shows the quota", func(ctx context.Context) error {
		node := &corev1.Node{}
		if err := tn.client.Get(ctx, client.ObjectKey{Name: tenancyv1alpha1.VirtualNodeName}, node); err != nil {
			return err
		}
		if got := node.Status.Allocatable; got.Cpu().String() != cpu || got.Pods().String() != pods {
			return fmt.Errorf("allocatable: cpu %s, pods %s; want %s and %s", got.Cpu(), got.Pods(), cpu, pods)
		}
		return nil
	})
}

// unplaced returns an error unless a pod's conditions say that it has no place, and why.
func (tn *tenant) unplaced(ctx context.Context, name, why string) error {
	pod := &corev1.Pod{}
	if err := tn.client.Get(ctx, client.ObjectKey{Namespace: "default", Name: name}, pod); err != nil {
		return err
	}
	for _, got := range pod.Status.Conditions {
		if got.Type == corev1.PodScheduled && got.Status == corev1.ConditionFalse && strings.Contains(got.Message, why) {
			return nil
		}
	}
	return fmt.Errorf("conditions %+v do not say %q", pod.Status.Conditions, why)
}

// wantToldOnce checks that one event tells of a pod that waits.
func wantToldOnce(t *testing.T, tn *tenant, pod string) {
	t.Helper()
	events := &corev1.EventList{}
	if err := tn.client.List(t.Context(), events, client.InNamespace("default")); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, event := range events.Items {
		if event.InvolvedObject.Name == pod && event.Reason == "FailedScheduling" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d events FailedScheduling of pod %s, want 1", told, pod)
	}
}

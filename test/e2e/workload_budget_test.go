// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// testDisruptionBudget: neither the tenant nor a drain of the super cluster's
// nodes evicts what the tenant's budget protects.
func testDisruptionBudget(t *testing.T, w *workload) {
	w.apply(t, "budget.yaml")
	pod := w.pods(t, "quorum", 2)[0]
	superPod := &corev1.Pod{}
	w.getSuper(t, pod.Name, superPod)
	eventually(t, 30*time.Second, "the budget known on both sides", func(ctx context.Context) error {
		budget, superBudget := &policyv1.PodDisruptionBudget{}, &policyv1.PodDisruptionBudget{}
		if err := w.fetch(ctx, "quorum", budget); err != nil {
			return err
		}
		if err := superClient.Get(ctx, w.superKey(w.namespace, "quorum"), superBudget); err != nil {
			return err
		}
		if budget.Status.DesiredHealthy != 2 || superBudget.Status.DesiredHealthy != 2 || superBudget.Status.CurrentHealthy != 2 {
			return fmt.Errorf("tenant %+v, super %+v", budget.Status, superBudget.Status)
		}
		return nil
	})
	if err := evict(t.Context(), w.client, &pod); !apierrors.IsTooManyRequests(err) {
		t.Errorf("the tenant's eviction is answered with %v", err)
	}
	if err := evict(t.Context(), superClient, superPod); !apierrors.IsTooManyRequests(err) {
		t.Errorf("the super cluster's eviction is answered with %v", err)
	}

	// A budget that allows one disruption lets the drain go on, and the tenant's
	// controller replaces the pod.
	budget := &policyv1.PodDisruptionBudget{}
	w.get(t, "quorum", budget)
	before := budget.DeepCopy()
	budget.Spec.MaxUnavailable = new(intstr.FromInt32(1))
	if err := w.client.Patch(t.Context(), budget, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the super cluster's eviction", func(ctx context.Context) error {
		return evict(ctx, superClient, superPod)
	})
	eventually(t, time.Minute, "the evicted pod's end in the tenant", func(ctx context.Context) error {
		if err := w.fetch(ctx, pod.Name, &corev1.Pod{}); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there, or: %w", err)
		}
		return nil
	})
	for _, replacement := range w.pods(t, "quorum", 2) {
		if replacement.UID == pod.UID {
			t.Errorf("the evicted pod %s is still there", pod.Name)
		}
	}
}

func evict(ctx context.Context, c client.Client, pod *corev1.Pod) error {
	return c.SubResource("eviction").Create(ctx, pod, &policyv1.Eviction{ObjectMeta: pod.ObjectMeta})
}

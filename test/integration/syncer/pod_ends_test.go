// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
)

// testGraceMatrix: the super pod gets the grace that the tenant gives its pod,
// less what has passed. Only a deletion without grace takes the tenant's pod
// before the super pod is gone; even then the super pod has a second, so that
// its kubelet ends the containers before the name is free.
func testGraceMatrix(t *testing.T, e *environment, tn *tenant) {
	for grace, want := range map[int64][2]int64{0: {1, 1}, 1: {1, 1}, 30: {25, 30}, 600: {595, 600}} {
		t.Run(fmt.Sprint(grace), func(t *testing.T) {
			tenantPod, superPod := e.runPod(t, tn, "grace", fmt.Sprintf("grace-%d", grace))
			e.holdPod(t, superPod, true)
			must(t, tn.client.Delete(t.Context(), tenantPod, client.GracePeriodSeconds(grace)))
			e.eventuallyEnding(t, superPod, want[0], want[1])
			consistently(t, "the tenant's pod", 500*time.Millisecond, func(ctx context.Context) error {
				err := tn.client.Get(ctx, client.ObjectKeyFromObject(tenantPod), &corev1.Pod{})
				if (err == nil) != (grace > 0) {
					return fmt.Errorf("after a deletion with grace %d: %w", grace, err)
				}
				return nil
			})
			e.holdPod(t, superPod, false)
			eventually(t, "both pods gone", func(ctx context.Context) error {
				return errors.Join(gone(ctx, e.superClient, superPod), gone(ctx, tn.client, tenantPod))
			})
		})
	}
}

// eventuallyEnding waits until the super pod ends with a grace between the two.
func (e *environment) eventuallyEnding(t *testing.T, superPod *corev1.Pod, from, to int64) {
	t.Helper()
	eventually(t, "the super pod's grace", func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(superPod), superPod); err != nil {
			return err
		}
		if grace := superPod.DeletionGracePeriodSeconds; grace == nil || *grace < from || *grace > to {
			return fmt.Errorf("deleted at %v with grace %v, want between %d and %d", superPod.DeletionTimestamp, grace, from, to)
		}
		return nil
	})
}

// testShorterGrace: who deletes again with less grace gets it, and who forces
// it at last frees the name in the tenant but not in the super cluster: a pod of
// the same name does not run before its forerunner is confirmed gone.
func testShorterGrace(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "grace", "again")
	e.holdPod(t, superPod, true)
	for _, step := range []struct{ grace, from, to int64 }{{600, 590, 600}, {30, 20, 30}, {0, 1, 1}} {
		must(t, tn.client.Delete(t.Context(), tenantPod, client.GracePeriodSeconds(step.grace)))
		e.eventuallyEnding(t, superPod, step.from, step.to)
	}
	must(t, tn.client.Create(t.Context(), makePod("grace", "again")))
	forerunner := superPod.UID
	consistently(t, "the successor waits", time.Second, func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(superPod), superPod); err != nil {
			return err
		}
		if superPod.UID != forerunner {
			return errors.New("the name runs twice")
		}
		return nil
	})
	e.holdPod(t, superPod, false)
	successor := tn.waitRunning(t, "grace", "again")
	must(t, e.superClient.Get(t.Context(), client.ObjectKeyFromObject(superPod), superPod))
	if owner, _ := identity.Of(superPod); owner.UID != successor.UID || superPod.UID == forerunner {
		t.Errorf("super pod %s stands for %s, want %s", superPod.UID, owner.UID, successor.UID)
	}
}

// testEviction: the tenant's own budget decides, in the tenant's API server,
// and what it lets go ends with the grace that was asked for.
func testEviction(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "evict", "web")
	one := intstr.FromInt32(1)
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "evict", Name: "web"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: tenantPod.Labels}},
	}
	must(t, tn.client.Create(t.Context(), budget))
	eventually(t, "the budget counts the pod", func(ctx context.Context) error {
		if err := tn.client.Get(ctx, client.ObjectKeyFromObject(budget), budget); err != nil {
			return err
		}
		if budget.Status.CurrentHealthy != 1 {
			return fmt.Errorf("status %+v", budget.Status)
		}
		return nil
	})
	grace := int64(45)
	evict := func(ctx context.Context) error {
		return tn.client.SubResource("eviction").Create(ctx, tenantPod, &policyv1.Eviction{DeleteOptions: &metav1.DeleteOptions{GracePeriodSeconds: &grace}})
	}
	if err := evict(t.Context()); !apierrors.IsTooManyRequests(err) {
		t.Fatalf("the budget let it go: %v", err)
	}
	e.holdPod(t, superPod, true)
	must(t, tn.client.Delete(t.Context(), budget))
	eventually(t, "the eviction", evict)
	e.eventuallyEnding(t, superPod, 35, 45)
	e.holdPod(t, superPod, false)
	eventually(t, "both pods gone", func(ctx context.Context) error {
		return errors.Join(gone(ctx, e.superClient, superPod), gone(ctx, tn.client, tenantPod))
	})
}

// testSuperEviction: a kubelet of the super cluster that runs out of memory
// fails the pod, as the tenant's kubelet would, and the super cluster's numbers
// stay there.
func testSuperEviction(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "evict", "failed")
	setStatus(t, e.superClient, superPod, func(s *corev1.PodStatus) {
		s.Phase, s.Reason = corev1.PodFailed, "Evicted"
		s.Message = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 57336Ki. "
		s.Conditions = append(s.Conditions, corev1.PodCondition{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonTerminationByKubelet,
		})
	})
	eventuallyPod(t, tn.client, tenantPod, "failed", func(p *corev1.Pod) bool {
		return p.Status.Phase == corev1.PodFailed && p.Status.Reason == "Evicted" && conditionIs(p, corev1.DisruptionTarget, corev1.ConditionTrue)
	})
	if want := "The node was low on resource: memory. "; tenantPod.Status.Message != want {
		t.Errorf("message %q, want %q", tenantPod.Status.Message, want)
	}
	must(t, e.superClient.Delete(t.Context(), superPod, client.GracePeriodSeconds(0)))
	consistently(t, "a pod that has failed stays to be looked at", 500*time.Millisecond, func(ctx context.Context) error {
		return tn.client.Get(ctx, client.ObjectKeyFromObject(tenantPod), &corev1.Pod{})
	})
}

// testNodeLoss: a super node that is lost takes the tenant's pod with it, once,
// and in the order in which the super cluster notices.
func testNodeLoss(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "lost", "web")
	uid := tenantPod.UID
	setStatus(t, e.superClient, superPod, func(s *corev1.PodStatus) {
		for i := range s.Conditions {
			if s.Conditions[i].Type == corev1.PodReady {
				s.Conditions[i].Status, s.Conditions[i].Reason = corev1.ConditionFalse, "NodeNotReady"
			}
		}
	})
	eventuallyPod(t, tn.client, tenantPod, "not ready", func(p *corev1.Pod) bool { return conditionIs(p, corev1.PodReady, corev1.ConditionFalse) })
	e.holdPod(t, superPod, true) // nobody on the lost node confirms anything
	must(t, e.superClient.Delete(t.Context(), superPod, client.GracePeriodSeconds(40)))
	eventuallyPod(t, tn.client, tenantPod, "terminating", func(p *corev1.Pod) bool {
		return p.UID == uid && p.DeletionTimestamp != nil && *p.DeletionGracePeriodSeconds > 25
	})
	consistently(t, "it waits for the node", 500*time.Millisecond, func(ctx context.Context) error {
		return tn.client.Get(ctx, client.ObjectKeyFromObject(tenantPod), tenantPod)
	})
	e.holdPod(t, superPod, false)
	eventually(t, "both pods gone", func(ctx context.Context) error {
		return errors.Join(gone(ctx, e.superClient, superPod), gone(ctx, tn.client, tenantPod))
	})
}

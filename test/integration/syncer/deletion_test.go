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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
)

const hold = "test.example.com/hold"

// runPod creates a namespace with one pod and waits until both sides run it.
func (e *environment) runPod(t *testing.T, tn *tenant, namespace, name string) (tenantPod, superPod *corev1.Pod) {
	t.Helper()
	err := tn.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	must(t, client.IgnoreAlreadyExists(err))
	tn.waitServiceAccount(t, namespace)
	must(t, tn.client.Create(t.Context(), makePod(namespace, name)))
	tenantPod = tn.waitRunning(t, namespace, name)
	superPod = &corev1.Pod{}
	must(t, e.superClient.Get(t.Context(), tn.superKey(namespace, name), superPod))
	return tenantPod, superPod
}

// holdPod keeps the super pod after its deletion, as a container does that takes long to stop.
func (e *environment) holdPod(t *testing.T, superPod *corev1.Pod, held bool) {
	t.Helper()
	eventually(t, "holding the super pod", func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(superPod), superPod); err != nil {
			return err
		}
		before := superPod.DeepCopy()
		if held {
			controllerutil.AddFinalizer(superPod, hold)
		} else {
			controllerutil.RemoveFinalizer(superPod, hold)
		}
		return e.superClient.Patch(ctx, superPod, client.MergeFrom(before))
	})
}

func gone(ctx context.Context, c client.Client, object client.Object) error {
	err := c.Get(ctx, client.ObjectKeyFromObject(object), object)
	if err == nil {
		return fmt.Errorf("%T %s is still there", object, object.GetName())
	}
	return client.IgnoreNotFound(err)
}

// testGracefulDeletion: the tenant's pod goes only when the super pod is gone,
// and the super pod gets the grace that the tenant asked for.
func testGracefulDeletion(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "graceful", "web")
	e.holdPod(t, superPod, true)
	must(t, tn.client.Delete(t.Context(), tenantPod, client.GracePeriodSeconds(45)))
	eventually(t, "the super pod terminating", func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(superPod), superPod); err != nil {
			return err
		}
		if superPod.DeletionTimestamp == nil {
			return errors.New("not deleted")
		}
		return nil
	})
	consistently(t, "the tenant's pod stays", time.Second, func(ctx context.Context) error {
		return tn.client.Get(ctx, client.ObjectKeyFromObject(tenantPod), tenantPod)
	})
	e.holdPod(t, superPod, false)
	eventually(t, "both pods gone", func(ctx context.Context) error {
		return errors.Join(gone(ctx, e.superClient, superPod), gone(ctx, tn.client, tenantPod))
	})
}

// testForcedDeletion: a pod that is gone from the tenant at once is ended in
// the super cluster, and a new one of its name waits for that.
func testForcedDeletion(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "forced", "web")
	e.holdPod(t, superPod, true)
	must(t, tn.client.Delete(t.Context(), tenantPod, client.GracePeriodSeconds(0)))
	must(t, tn.client.Create(t.Context(), makePod("forced", "web")))
	eventually(t, "the super pod terminating", func(ctx context.Context) error {
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(superPod), superPod); err != nil {
			return err
		}
		if superPod.DeletionTimestamp == nil {
			return errors.New("not deleted")
		}
		return nil
	})
	e.holdPod(t, superPod, false)
	successor := tn.waitRunning(t, "forced", "web")
	var superSuccessor corev1.Pod
	must(t, e.superClient.Get(t.Context(), client.ObjectKeyFromObject(superPod), &superSuccessor))
	if owner, _ := identity.Of(&superSuccessor); owner.UID != successor.UID || superSuccessor.UID == superPod.UID {
		t.Errorf("the super pod stands for %s, want %s", owner.UID, successor.UID)
	}
}

// testVanished: a super pod that somebody else removed takes the tenant's with it.
func testVanished(t *testing.T, e *environment, tn *tenant) {
	tenantPod, superPod := e.runPod(t, tn, "vanished", "web")
	must(t, e.superClient.Delete(t.Context(), superPod, client.GracePeriodSeconds(0)))
	eventually(t, "the tenant's pod gone", func(ctx context.Context) error { return gone(ctx, tn.client, tenantPod) })
	consistently(t, "no super pod made again", 500*time.Millisecond, func(ctx context.Context) error {
		return gone(ctx, e.superClient, superPod)
	})
}

func testNamespaceDeletion(t *testing.T, e *environment, tn *tenant) {
	_, superPod := e.runPod(t, tn, "going", "web")
	must(t, tn.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}}))
	eventually(t, "the super namespace gone", func(ctx context.Context) error {
		return errors.Join(
			gone(ctx, tn.client, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "going"}}),
			gone(ctx, e.superClient, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: superPod.Namespace}}))
	})
}

// testEnd: a deleted VirtualCluster leaves nothing, and its neighbour everything.
func testEnd(t *testing.T, e *environment, tn, neighbour *tenant) {
	before := e.stamped(t, neighbour)
	must(t, e.superClient.Delete(t.Context(), tn.vc))
	eventually(t, "the virtual cluster gone", func(ctx context.Context) error {
		var vc tenancyv1alpha1.VirtualCluster
		err := e.superClient.Get(ctx, client.ObjectKeyFromObject(tn.vc), &vc)
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("finalizers %v, error %w", vc.Finalizers, err)
		}
		return nil
	})
	if left := e.stamped(t, tn); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if after := e.stamped(t, neighbour); len(after) != len(before) {
		t.Errorf("the neighbour had %d objects and has %d", len(before), len(after))
	}
}

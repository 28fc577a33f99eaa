// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// testClasses: a class says whether it works and who uses it, cannot go while
// it is used, and takes nobody new when it is to go.
func testClasses(t *testing.T, s *suite, _ *counter) {
	s.create(t, class("clashing", "10.96.0.0/14"))
	within(t, toldWithin, "the clash is told", s.classIs("clashing", 0, metav1.ConditionFalse, tenancyv1alpha1.ReasonClassInvalid, "overlaps 10.96.0.0/16"))
	refused := s.virtualCluster(t, "clashes", "clashing")
	t.Run("Invalid", func(t *testing.T) {
		s.wantTold(t, refused, tenancyv1alpha1.ConditionClassResolved, tenancyv1alpha1.ReasonClassInvalid, "spec.network.serviceCIDR")
		s.wantNothingMade(t, refused)
	})
	// It counts for its own class only.
	t.Run("Used", func(t *testing.T) { testClassIsUsed(t, s) })
	s.deleteNow(t, refused)
}

// testClassIsUsed: a class is held to the end of the last that names it.
func testClassIsUsed(t *testing.T, s *suite) {
	used := class("used", "10.190.0.0/16")
	s.create(t, used)
	within(t, toldWithin, "the class is ready", s.classIs("used", 0, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady, ""))
	virtualCluster := s.virtualCluster(t, "user", "used")
	within(t, toldWithin, "its user is counted", s.classIs("used", 1, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady, ""))
	within(t, healWithin, "its user has a slice", s.hasSlice(virtualCluster))
	if err := s.client.Delete(t.Context(), used); err != nil {
		t.Fatal(err)
	}
	within(t, toldWithin, "that it is to go is told", s.classIs("used", 1, metav1.ConditionFalse, tenancyv1alpha1.ReasonClassDeleting, ""))
	late := s.virtualCluster(t, "late", "used")
	s.wantTold(t, late, tenancyv1alpha1.ConditionClassResolved, tenancyv1alpha1.ReasonClassDeleting, "another class")
	s.wantFollowed(t, virtualCluster)
	// One that is being deleted names it, too.
	s.patchFinalizers(t, virtualCluster, func(finalizers []string) []string {
		return append(finalizers, tenancyv1alpha1.FinalizerSyncer)
	})
	if err := s.client.Delete(t.Context(), virtualCluster); err != nil {
		t.Fatal(err)
	}
	s.deleteNow(t, late)
	within(t, toldWithin, "the one that is being deleted is counted", s.classIs("used", 1, metav1.ConditionFalse, tenancyv1alpha1.ReasonClassDeleting, ""))
	s.patchFinalizers(t, virtualCluster, func(finalizers []string) []string {
		return slices.DeleteFunc(finalizers, func(f string) bool { return f == tenancyv1alpha1.FinalizerSyncer })
	})
	s.wantDeleted(t, virtualCluster)
	within(t, toldWithin, "the class is gone", func(ctx context.Context) error {
		return s.wantGone(ctx, types.NamespacedName{Name: "used"}, &tenancyv1alpha1.VirtualClusterClass{})
	})
}

// wantFollowed changes a virtual cluster that its class was good for: what the
// class decides is still decided.
func (s *suite) wantFollowed(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	before := s.get(t, virtualCluster)
	changed := before.DeepCopy()
	changed.Spec.Quota = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("7")}
	if err := s.client.Patch(t.Context(), changed, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	within(t, healWithin, "a change of "+virtualCluster.Name+" is followed", func(ctx context.Context) error {
		if quota := s.get(t, virtualCluster).Status.Quota; quota.Cpu().Value() != 7 {
			return fmt.Errorf("status.quota = %v", quota)
		}
		return s.wantCondition(ctx, virtualCluster, tenancyv1alpha1.ConditionClassResolved, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	})
}

// classIs returns an error unless a class has so many users and the condition
// Ready, and is held exactly if it is used.
func (s *suite) classIs(name string, users int32, status metav1.ConditionStatus, reason, words string) func(context.Context) error {
	return func(ctx context.Context) error {
		class := &tenancyv1alpha1.VirtualClusterClass{}
		if err := s.client.Get(ctx, types.NamespacedName{Name: name}, class); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(class.Status.Conditions, tenancyv1alpha1.ClassConditionReady)
		if ready == nil || ready.Status != status || ready.Reason != reason || !strings.Contains(ready.Message, words) || class.Status.VirtualClusters != users {
			return fmt.Errorf("%d users, Ready = %+v", class.Status.VirtualClusters, ready)
		}
		if held := slices.Contains(class.Finalizers, tenancyv1alpha1.FinalizerClass); held != (users > 0) {
			return fmt.Errorf("it is held: %t", held)
		}
		return nil
	}
}

// deleteNow deletes a VirtualCluster, which vc-manager then removes.
func (s *suite) deleteNow(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	if err := s.client.Delete(t.Context(), virtualCluster); err != nil {
		t.Fatal(err)
	}
	s.wantDeleted(t, virtualCluster)
}

// wantDeleted waits for the end of a VirtualCluster that is being deleted.
func (s *suite) wantDeleted(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	within(t, healWithin, virtualCluster.Name+" is gone", func(ctx context.Context) error {
		return s.wantGone(ctx, client.ObjectKeyFromObject(virtualCluster), &tenancyv1alpha1.VirtualCluster{})
	})
	s.wantNothingLeft(t, virtualCluster)
}

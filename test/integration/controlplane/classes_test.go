// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// testClasses: a class says whether it works and who uses it, cannot go while
// it is used, and takes nobody new when it is to go.
func testClasses(t *testing.T, s *suite, _ *counter) {
	t.Run("Invalid", func(t *testing.T) {
		s.create(t, class("clashing", "10.96.0.0/14"))
		within(t, toldWithin, "the clash is told", s.classIs("clashing", 0, metav1.ConditionFalse, tenancyv1alpha1.ReasonClassInvalid, "overlaps 10.96.0.0/16"))
		virtualCluster := s.virtualCluster(t, "clashes", "clashing")
		s.wantTold(t, virtualCluster, tenancyv1alpha1.ConditionClassResolved, tenancyv1alpha1.ReasonClassInvalid, "spec.network.serviceCIDR")
		s.wantNothingMade(t, virtualCluster)
		s.deleteNow(t, virtualCluster)
	})
	t.Run("Used", func(t *testing.T) {
		used := class("used", "10.190.0.0/16")
		s.create(t, used)
		within(t, toldWithin, "the class is ready", s.classIs("used", 0, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady, ""))
		virtualCluster := s.virtualCluster(t, "user", "used")
		within(t, toldWithin, "its user is counted", s.classIs("used", 1, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady, ""))
		if err := s.client.Delete(t.Context(), used); err != nil {
			t.Fatal(err)
		}
		within(t, toldWithin, "that it is to go is told", s.classIs("used", 1, metav1.ConditionFalse, tenancyv1alpha1.ReasonClassDeleting, ""))
		late := s.virtualCluster(t, "late", "used")
		s.wantTold(t, late, tenancyv1alpha1.ConditionClassResolved, tenancyv1alpha1.ReasonClassDeleting, "another class")
		if err := s.wantCondition(t.Context(), virtualCluster, tenancyv1alpha1.ConditionClassResolved, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
			t.Errorf("one that it was good for: %v", err)
		}
		s.deleteNow(t, late)
		if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(used), used); err != nil {
			t.Fatalf("the class went while it was used: %v", err)
		}
		s.deleteNow(t, virtualCluster)
		within(t, toldWithin, "the class is gone", func(ctx context.Context) error {
			return s.wantGone(ctx, types.NamespacedName{Name: "used"}, &tenancyv1alpha1.VirtualClusterClass{})
		})
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
	within(t, healWithin, virtualCluster.Name+" is gone", func(ctx context.Context) error {
		return s.wantGone(ctx, client.ObjectKeyFromObject(virtualCluster), &tenancyv1alpha1.VirtualCluster{})
	})
	s.wantNothingLeft(t, virtualCluster)
}

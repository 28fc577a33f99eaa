// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/fleet"
)

// TestAPodBeyondTheQuota: it is Pending and says why, with one status and one
// event, and is made when the pod before it has ended.
func TestAPodBeyondTheQuota(t *testing.T) {
	super, tenant := newCounted(t), newCounted(t)
	superNamespace := startEngine(t, super, tenant, fleet.Facts{Quota: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")}})
	no := false
	pod := func(name string) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-of-" + name)},
			Spec: corev1.PodSpec{
				AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
				Containers: []corev1.Container{{Name: "main", Image: "app"}},
			},
		}
	}
	first, second := pod("first"), pod("second")
	made := func(name string) error {
		return super.base.Get(t.Context(), client.ObjectKey{Namespace: superNamespace, Name: name}, &corev1.Pod{})
	}
	tenant.make(t, first)
	until(t, "the first super pod", func() error { return made("first") })
	tenant.forget()
	tenant.make(t, second)
	const want = "0/1 nodes are available: 1 Too many pods. Quota of the virtual cluster: pods: 1 of 1 used, 1 more asked for. " +
		"It is tried again when pods end or the quota is raised."
	until(t, "the second pod held", func() error {
		if tenant.count("POST Event") == 0 {
			return errors.New("no event")
		}
		return tenant.check(t, second, func() bool {
			c := second.Status.Conditions
			return len(c) == 1 && c[0].Type == corev1.PodScheduled && c[0].Status == corev1.ConditionFalse &&
				c[0].Reason == corev1.PodReasonUnschedulable && c[0].Message == want
		})
	})
	if err := made("second"); err == nil {
		t.Fatal("the second super pod is there")
	}
	if got := fmt.Sprint(tenant.calls()); got != "map[POST Event:1 PUT Pod/status:1]" {
		t.Errorf("requests to the tenant: %s", got)
	}
	ended := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: superNamespace, Name: "first"}}
	if err := super.base.Get(t.Context(), client.ObjectKeyFromObject(ended), ended); err != nil {
		t.Fatal(err)
	}
	ended.Status.Phase = corev1.PodSucceeded
	super.change(t, ended)
	until(t, "the second super pod", func() error { return made("second") })
}

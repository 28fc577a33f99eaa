// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func amounts(cpu, memory string) corev1.ResourceList {
	list := corev1.ResourceList{}
	for name, value := range map[corev1.ResourceName]string{corev1.ResourceCPU: cpu, corev1.ResourceMemory: memory} {
		if value != "" {
			list[name] = resource.MustParse(value)
		}
	}
	return list
}

func pods(number string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourcePods: resource.MustParse(number), "example.com/device": resource.MustParse(number)}
}

// TestNodeIsNoLargerThanTheQuota: of each resource the smaller of what there is
// and what the tenant may have.
func TestNodeIsNoLargerThanTheQuota(t *testing.T) {
	cases := map[string]struct{ there, quota, want corev1.ResourceList }{
		"no quota":              {amounts("8", "8Gi"), nil, amounts("8", "8Gi")},
		"smaller":               {amounts("8", "8Gi"), amounts("2", "1Gi"), amounts("2", "1Gi")},
		"larger":                {amounts("8", "8Gi"), amounts("16", "16Gi"), amounts("8", "8Gi")},
		"one of each":           {amounts("8", "8Gi"), amounts("16", "1Gi"), amounts("8", "1Gi")},
		"of one only":           {amounts("8", "8Gi"), amounts("2", ""), amounts("2", "8Gi")},
		"of what there is none": {amounts("8", ""), amounts("2", "1Gi"), amounts("2", "")},
		"nothing at all":        {amounts("8", "8Gi"), amounts("0", ""), amounts("0", "8Gi")},
		"a part of a cpu":       {amounts("8", ""), amounts("1500m", ""), amounts("1500m", "")},
		// An API server refuses a node with a part of a pod or of a device.
		"a part of a pod":    {pods("110"), pods("1500m"), pods("1")},
		"all but one pod":    {pods("110"), pods("0.9"), pods("0")},
		"more than there is": {pods("110"), pods("110500m"), pods("110")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			capacity := &Capacity{Allocatable: tc.there}
			got := virtualNode(capacity, tc.quota, "10.96.0.20", tenancyv1alpha1.ClassNode{}, time.Unix(100, 0)).Status
			if !equality.Semantic.DeepEqual(got.Capacity, tc.want) || !equality.Semantic.DeepEqual(got.Allocatable, tc.want) {
				t.Errorf("capacity %v, allocatable %v, want %v", got.Capacity, got.Allocatable, tc.want)
			}
		})
	}
}

// TestAnotherQuotaIsShown: an agent whose quota has changed is started anew, and
// one whose quota is the same is left alone.
func TestAnotherQuotaIsShown(t *testing.T) {
	const kubeconfig = `{"apiVersion":"v1","kind":"Config","current-context":"a","contexts":[{"name":"a","context":{"cluster":"a","user":"a"}}],` +
		`"clusters":[{"name":"a","cluster":{"server":"https://127.0.0.1:1"}}],"users":[{"name":"a","user":{"token":"x"}}]}`
	r := New(Options{Clock: clocktesting.NewFakeClock(time.Unix(100, 0))})
	ctx, stop := context.WithCancel(t.Context())
	r.base = ctx
	defer func() { stop(); r.wg.Wait() }()
	vc := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "demo", UID: "1"}}
	start := func(quota corev1.ResourceList) *handle {
		t.Helper()
		vc.Status.Quota = quota
		started, err := r.ensure(ctx, vc, []byte(kubeconfig), "10.96.0.20", tenancyv1alpha1.ClassNode{})
		if err != nil {
			t.Fatal(err)
		}
		return started
	}
	first := start(amounts("2", ""))
	if again := start(amounts("2000m", "")); again != first {
		t.Error("an agent was started anew for the same quota")
	}
	if other := start(amounts("3", "")); other == first || !equality.Semantic.DeepEqual(other.agent.quota, amounts("3", "")) {
		t.Errorf("the agent's quota is %v", other.agent.quota)
	}
}

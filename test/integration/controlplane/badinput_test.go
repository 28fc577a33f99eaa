// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// quiet is how long vc-manager's requests are counted while there is
	// trouble and nothing changes.
	quiet = 30 * time.Second
	// maxCalls is the most that one virtual cluster in trouble may cost of the
	// meta cluster's API in a minute.
	maxCalls = 60
)

// testBadInput gives vc-manager at once everything that people get wrong. Each
// is told for what it is within ten seconds, all of them together cost few
// requests, and each heals by itself when its cause is gone.
func testBadInput(t *testing.T, s *suite, calls *counter) {
	s.wantRefused(t, "no versions", withoutVersions(), "spec.versions")
	s.wantRefused(t, "two replicas", twoReplicas(), "replicas must be 1 or 3")
	s.wantRefused(t, "a quota of nothing", withQuota("requests.cpu", "1"), "quotas are of cpu, memory")
	s.wantRefused(t, "a debt", withQuota(corev1.ResourceCPU, "-1"), "a quota cannot be negative")

	overlapping := s.overlappingPools(t)
	// Two classes: that somebody leaves the one wakes nobody of the other.
	for _, name := range []string{"full", "as-full"} {
		full := class(name, "10.210.0.0/21")
		full.Spec.Network.ServiceSliceBits = 22
		s.create(t, full)
	}
	holders := []*tenancyv1alpha1.VirtualCluster{s.virtualCluster(t, "full-a", "full"), s.virtualCluster(t, "full-b", "full")}
	for _, holder := range holders {
		within(t, toldWithin, holder.Name+" has a slice", s.hasSlice(holder))
	}
	waiting := s.virtualCluster(t, "full-c", "as-full")
	diskless := class("diskless", "10.211.0.0/16")
	diskless.Spec.ControlPlane.Storage.StorageClassName = "missing"
	s.create(t, diskless)
	withoutDisk := s.virtualCluster(t, "diskless", "diskless")
	outside := class("badly-outside", "10.212.0.0/16")
	s.create(t, outside)
	garbage := s.badlyOutside(t)
	homeless := s.virtualCluster(t, "homeless", "nowhere")

	s.wantTold(t, waiting, tenancyv1alpha1.ConditionNetworkAllocated, tenancyv1alpha1.ReasonServiceRangeExhausted, "no /22 of 10.210.0.0/21 is free")
	s.wantTold(t, withoutDisk, tenancyv1alpha1.ConditionControlPlaneReady, tenancyv1alpha1.ReasonStorageClassNotFound, `no StorageClass "missing"`)
	s.wantTold(t, garbage, tenancyv1alpha1.ConditionControlPlaneReady, tenancyv1alpha1.ReasonKubeconfigInvalid, "cannot be parsed")
	s.wantTold(t, homeless, tenancyv1alpha1.ConditionClassResolved, tenancyv1alpha1.ReasonClassNotFound, "nowhere")
	troubled := []*tenancyv1alpha1.VirtualCluster{waiting, withoutDisk, garbage, homeless}
	s.pause(t, append(holders, overlapping...)) // Those wait for pods, which nobody starts here.
	wantQuiet(t, calls, len(troubled))

	s.deleteNow(t, holders[0])
	s.create(t, &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "missing"}, Provisioner: "example.test/disks"})
	s.putKubeconfig(t, garbage, s.superKubeconfig)
	s.create(t, class("nowhere", "10.213.0.0/16"))
	within(t, healWithin, "the slice that was freed is given", s.hasSlice(waiting))
	within(t, healWithin, "the control plane is made", func(ctx context.Context) error {
		return s.wantCondition(ctx, withoutDisk, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning)
	})
	within(t, healWithin, "the kubeconfig is read again", func(ctx context.Context) error {
		return s.wantCondition(ctx, garbage, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonSuperCluster)
	})
	within(t, healWithin, "the class is found", s.hasSlice(homeless))
	for _, virtualCluster := range append(append(troubled, holders[1]), overlapping...) {
		s.deleteNow(t, virtualCluster)
	}
}

// pause has vc-manager leave virtual clusters alone, and waits until it does.
func (s *suite) pause(t *testing.T, virtualClusters []*tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	for _, virtualCluster := range virtualClusters {
		patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"paused":true}}`))
		if err := s.client.Patch(t.Context(), virtualCluster, patch); err != nil {
			t.Fatal(err)
		}
		within(t, toldWithin, virtualCluster.Name+" is paused", func(ctx context.Context) error {
			return s.wantCondition(ctx, virtualCluster, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonPaused)
		})
	}
}

// wantQuiet counts requests while so many virtual clusters are in trouble.
func wantQuiet(t *testing.T, calls *counter, troubled int) {
	t.Helper()
	before := calls.count.Load()
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
	minute := float64(calls.count.Load()-before) * float64(time.Minute) / float64(quiet)
	t.Logf("%d virtual clusters in trouble cost %.0f requests in a minute", troubled, minute)
	if minute > float64(maxCalls*troubled) {
		t.Errorf("%.0f requests in a minute, want at most %d", minute, maxCalls*troubled)
	}
}

func (s *suite) wantRefused(t *testing.T, what string, create func(context.Context, *suite) error, words string) {
	t.Helper()
	err := create(t.Context(), s)
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: %v, want it refused with %q", what, err, words)
		return
	}
	t.Logf("%s: %v", what, err)
}

func withoutVersions() func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		none := class("none", "10.214.0.0/16")
		none.Spec.Versions = []tenancyv1alpha1.ClassVersion{}
		return s.client.Create(ctx, none)
	}
}

func twoReplicas() func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		return s.client.Create(ctx, &tenancyv1alpha1.VirtualCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: "two"},
			Spec: tenancyv1alpha1.VirtualClusterSpec{
				ControlPlane: &tenancyv1alpha1.VirtualClusterControlPlane{Replicas: ptr.To[int32](2)},
			},
		})
	}
}

func withQuota(name corev1.ResourceName, amount string) func(context.Context, *suite) error {
	return func(ctx context.Context, s *suite) error {
		return s.client.Create(ctx, &tenancyv1alpha1.VirtualCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: "bounded"},
			Spec:       tenancyv1alpha1.VirtualClusterSpec{Quota: corev1.ResourceList{name: resource.MustParse(amount)}},
		})
	}
}

// overlappingPools creates three at once in three classes whose pools lie
// within each other: all get slices, and no two the same addresses.
func (s *suite) overlappingPools(t *testing.T) []*tenancyv1alpha1.VirtualCluster {
	t.Helper()
	var created []*tenancyv1alpha1.VirtualCluster
	for i, pool := range []string{"10.220.0.0/16", "10.220.0.0/18", "10.220.0.0/20"} {
		name := fmt.Sprintf("overlap-%d", i)
		s.create(t, class(name, pool))
		created = append(created, s.virtualCluster(t, name, name))
	}
	var held []netip.Prefix
	for _, virtualCluster := range created {
		within(t, toldWithin, virtualCluster.Name+" has a slice", s.hasSlice(virtualCluster))
		slice := netip.MustParsePrefix(s.get(t, virtualCluster).Status.Network.ServiceCIDR)
		for _, other := range held {
			if slice.Overlaps(other) {
				t.Errorf("%s was given to one and %s to another", slice, other)
			}
		}
		held = append(held, slice)
	}
	return created
}

func (s *suite) hasSlice(virtualCluster *tenancyv1alpha1.VirtualCluster) func(context.Context) error {
	return func(ctx context.Context) error {
		return s.wantCondition(ctx, virtualCluster, tenancyv1alpha1.ConditionNetworkAllocated, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	}
}

// badlyOutside creates one whose kubeconfig is garbage.
func (s *suite) badlyOutside(t *testing.T) *tenancyv1alpha1.VirtualCluster {
	t.Helper()
	virtualCluster := s.externalOf(t, "garbage", "badly-outside")
	s.putKubeconfig(t, virtualCluster, []byte("\x00garbage: [}"))
	return virtualCluster
}

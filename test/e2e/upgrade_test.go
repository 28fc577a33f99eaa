// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// Versions of the class that the tests of upgrades make. Those that end at once
// are another program's image, and those that never start have none.
const (
	versionOld, imageOld = "v1.36.4", "ghcr.io/virtualcluster/control-plane:v1.36.4"
	versionNew           = "v1.37.1"
	versionEnds          = "v1.37.8"
	versionMissing       = "v1.37.9"
	versionTooFar        = "v1.39.0"
)

// upgradeTimeout is how long an upgrade of three replicas may take: each stops,
// starts and joins the others.
const upgradeTimeout = 6 * time.Minute

// upgradingClass makes a class of all of these versions, with the rest of the default class.
func upgradingClass(t *testing.T, name string) {
	t.Helper()
	class := &tenancyv1alpha1.VirtualClusterClass{}
	if err := superClient.Get(t.Context(), client.ObjectKey{Name: "default"}, class); err != nil {
		t.Fatal(err)
	}
	out := &tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: *class.Spec.DeepCopy()}
	out.Spec.Versions = []tenancyv1alpha1.ClassVersion{
		{Name: versionOld, Image: imageOld, Default: true},
		{Name: versionNew, Image: imageControlPlane},
		{Name: versionEnds, Image: imageAgnhost},
		{Name: versionMissing, Image: "ghcr.io/virtualcluster/control-plane:missing"},
		{Name: versionTooFar, Image: imageControlPlane},
	}
	out.Spec.ControlPlane.Upgrade.Timeout = &metav1.Duration{Duration: 90 * time.Second}
	if err := superClient.Create(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(superClient.Delete(context.WithoutCancel(t.Context()), out)); err != nil {
			t.Error(err)
		}
	})
}

// newUpgradable creates a virtual cluster of the old version and waits until it is ready.
func newUpgradable(t *testing.T, name string, replicas int32) *tenant {
	t.Helper()
	upgradingClass(t, name)
	object := newVirtualCluster(name)
	object.Spec.ClassName, object.Spec.Version = name, versionOld
	object.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{Replicas: &replicas}
	t.Cleanup(func() { deleteTenant(t, name) })
	if err := superClient.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{tenancyv1alpha1.ConditionReady, tenancyv1alpha1.ConditionUpToDate} {
		waitCondition(t, object, 3*time.Minute, wanted, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	}
	return openTenant(t, name)
}

func waitCondition(t *testing.T, object *tenancyv1alpha1.VirtualCluster, timeout time.Duration, kind string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	eventually(t, timeout, fmt.Sprintf("%s=%s, %s", kind, status, reason), func(ctx context.Context) error {
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		got := condition(object, kind)
		if got.Status != status || got.Reason != reason || got.ObservedGeneration != object.Generation {
			return fmt.Errorf("%s %s: %s (generation %d of %d)", got.Status, got.Reason, got.Message, got.ObservedGeneration, object.Generation)
		}
		return nil
	})
}

// ask sets spec.version.
func (tn *tenant) ask(t *testing.T, wanted string) {
	t.Helper()
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"version":%q}}`, wanted))
	if err := superClient.Patch(t.Context(), tn.object, patch); err != nil {
		t.Fatal(err)
	}
}

// wantVersion checks what every replica runs, and what the API server says it is.
func (tn *tenant) wantVersion(t *testing.T, wanted string) {
	t.Helper()
	if tn.object.Status.Version != wanted {
		t.Errorf("status.version = %q, want %s", tn.object.Status.Version, wanted)
	}
	pods := &corev1.PodList{}
	if err := superClient.List(t.Context(), pods, client.InNamespace(tn.object.Status.ControlPlane.Namespace)); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if got := pod.Annotations[component.AnnotationVersion]; got != wanted {
			t.Errorf("pod %s runs %s, want %s", pod.Name, got, wanted)
		}
	}
	requests, err := newRequests(tn.config, false)
	if err != nil {
		t.Fatal(err)
	}
	content, err := requests.do(t.Context(), http.MethodGet, "/version", nil, http.StatusOK)
	if err != nil {
		t.Fatal(err)
	}
	var info version.Info
	if err := json.Unmarshal(content, &info); err != nil || info.GitVersion != wanted {
		t.Errorf("/version says %q (%v), want %s", info.GitVersion, err, wanted)
	}
}

// bystander is a pod of the tenant that must not notice anything.
type bystander struct {
	uid, superUID types.UID
	restarts      int32
	started       metav1.Time
}

func (tn *tenant) observe(t *testing.T, name string) bystander {
	t.Helper()
	pod, superPod := tn.waitRunning(t, "default", name), &corev1.Pod{}
	if err := superClient.Get(t.Context(), tn.superKey("default", name), superPod); err != nil {
		t.Fatal(err)
	}
	return bystander{pod.UID, superPod.UID, superPod.Status.ContainerStatuses[0].RestartCount, *superPod.Status.StartTime}
}

func (tn *tenant) wantUntouched(t *testing.T, name string, before bystander) {
	t.Helper()
	if after := tn.observe(t, name); after != before {
		t.Errorf("the running pod was touched: %+v, and now %+v", before, after)
	}
}

// TestUpgradeOfThreeReplicas upgrades, rolls back and refuses under clients that
// write and read all the time.
func TestUpgradeOfThreeReplicas(t *testing.T) {
	tn := newUpgradable(t, "upgraded", 3)
	if err := tn.client.Create(t.Context(), newPod("default", "bystander")); err != nil {
		t.Fatal(err)
	}
	before := tn.observe(t, "bystander")

	t.Run("upgrade", func(t *testing.T) {
		traffic := startTraffic(t, tn, "upgrade")
		started := time.Now()
		tn.ask(t, versionNew)
		waitCondition(t, tn.object, 10*time.Second, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonRollingOut)
		waitCondition(t, tn.object, upgradeTimeout, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
		t.Logf("the upgrade took %s", time.Since(started).Round(time.Second))
		traffic.stopAndCheck(t)
		tn.wantVersion(t, versionNew)
		tn.wantUntouched(t, "bystander", before)
	})
	for name, broken := range map[string]string{"it ends again and again": versionEnds, "its image is missing": versionMissing} {
		t.Run(name, func(t *testing.T) {
			traffic := startTraffic(t, tn, "broken-"+broken[len(broken)-1:])
			tn.ask(t, broken)
			waitCondition(t, tn.object, upgradeTimeout, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonRolledBack)
			t.Logf("rolled back: %s", condition(tn.object, tenancyv1alpha1.ConditionUpToDate).Message)
			eventually(t, upgradeTimeout, "every replica is back", func(ctx context.Context) error { return tn.allReady(ctx, versionNew) })
			traffic.stopAndCheck(t)
			tn.wantVersion(t, versionNew)
			tn.wantUntouched(t, "bystander", before)
		})
	}
	for name, refused := range map[string]string{"downgrade": versionOld, "jump": versionTooFar} {
		t.Run(name, func(t *testing.T) {
			tn.ask(t, refused)
			waitCondition(t, tn.object, 10*time.Second, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonUpgradeRefused)
			tn.wantVersion(t, versionNew)
			tn.wantUntouched(t, "bystander", before)
		})
	}
}

// TestUpgradeOfOneReplica: it is away for a while, and loses nothing.
func TestUpgradeOfOneReplica(t *testing.T) {
	tn := newUpgradable(t, "upgraded-alone", 1)
	if err := tn.client.Create(t.Context(), newPod("default", "bystander")); err != nil {
		t.Fatal(err)
	}
	before := tn.observe(t, "bystander")
	traffic := startTraffic(t, tn, "alone")
	tn.ask(t, versionNew)
	waitCondition(t, tn.object, upgradeTimeout, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	tn.ask(t, versionEnds)
	waitCondition(t, tn.object, upgradeTimeout, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonRolledBack)
	eventually(t, upgradeTimeout, "it is back", func(ctx context.Context) error { return tn.allReady(ctx, versionNew) })
	waitCondition(t, tn.object, time.Minute, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	traffic.stopAndReport(t)
	tn.wantVersion(t, versionNew)
	tn.wantUntouched(t, "bystander", before)
}

// allReady returns an error unless every replica is ready and of a version.
func (tn *tenant) allReady(ctx context.Context, wanted string) error {
	pods := &corev1.PodList{}
	if err := superClient.List(ctx, pods, client.InNamespace(tn.object.Status.ControlPlane.Namespace)); err != nil {
		return err
	}
	var errs []error
	for _, pod := range pods.Items {
		ready := false
		for _, condition := range pod.Status.Conditions {
			ready = ready || condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue
		}
		if got := pod.Annotations[component.AnnotationVersion]; !ready || got != wanted || pod.DeletionTimestamp != nil {
			errs = append(errs, fmt.Errorf("pod %s: version %s, ready %t", pod.Name, got, ready))
		}
	}
	if want := int(*tn.object.Spec.ControlPlane.Replicas); len(pods.Items) != want {
		errs = append(errs, fmt.Errorf("%d pods, want %d", len(pods.Items), want))
	}
	return errors.Join(errs...)
}

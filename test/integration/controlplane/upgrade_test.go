// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// versions creates a class that offers these; the first is the default.
func (s *suite) versions(t *testing.T, name, serviceCIDR string, versions ...string) *tenancyv1alpha1.VirtualClusterClass {
	t.Helper()
	out := class(name, serviceCIDR)
	out.Spec.Versions = nil
	for i, version := range versions {
		out.Spec.Versions = append(out.Spec.Versions, tenancyv1alpha1.ClassVersion{
			Name: version, Image: "example.test/control-plane:" + version, Default: i == 0,
		})
	}
	s.create(t, out)
	return out
}

// change patches a class or a virtual cluster.
func change[T client.Object](t *testing.T, s *suite, object T, apply func(T)) {
	t.Helper()
	live, ok := object.DeepCopyObject().(T)
	if !ok {
		t.Fatalf("%T is not what its copy is", object)
	}
	if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(object), live); err != nil {
		t.Fatal(err)
	}
	before, ok := live.DeepCopyObject().(T)
	if !ok {
		t.Fatalf("%T is not what its copy is", object)
	}
	apply(live)
	if err := s.client.Patch(t.Context(), live, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) ask(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, version string) {
	t.Helper()
	change(t, s, virtualCluster, func(v *tenancyv1alpha1.VirtualCluster) { v.Spec.Version = version })
}

// health is what the test that plays the kubelet makes of a pod of a version.
type health map[string]corev1.ContainerState

// crashing ends again and again.
func crashing() corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: "back-off"}}
}

func pulling() corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}}
}

// playKubelet gives every new pod of the control plane the state of its
// version; without one it is ready.
func (s *suite) playKubelet(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster, health health) error {
	pods := &corev1.PodList{}
	if err := s.client.List(ctx, pods, client.InNamespace(controlPlaneNamespace(virtualCluster))); err != nil {
		return err
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.PodIP != "" {
			continue
		}
		before := pod.DeepCopy()
		pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, "10.244.8.8"
		pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
		ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}
		if state, sick := health[pod.Annotations[component.AnnotationVersion]]; sick {
			ready.Status = corev1.ConditionFalse
			status := corev1.ContainerStatus{Name: component.ContainerName, State: state}
			if state.Waiting != nil && state.Waiting.Reason == "CrashLoopBackOff" {
				status.RestartCount = 5
			}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{status}
		}
		pod.Status.Conditions = append(pod.Status.Conditions, ready)
		if err := s.client.Status().Patch(ctx, pod, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// settle reconciles, with a kubelet, until check is content. Every reconcile is
// that of a new process: nothing is remembered but what is stored.
func (s *suite) settle(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, health health, offset time.Duration, what string, check func(*tenancyv1alpha1.VirtualCluster) error) {
	t.Helper()
	eventually(t, what, func(ctx context.Context) error {
		r := s.reconciler(nil)
		r.Clock = clocktesting.NewFakePassiveClock(time.Now().Add(offset))
		if _, err := r.Reconcile(ctx, request(virtualCluster)); err != nil {
			return err
		}
		if err := s.playKubelet(ctx, virtualCluster, health); err != nil {
			return err
		}
		return check(s.get(t, virtualCluster))
	})
}

// upToDate returns a check of the condition, and of what its message must say.
func upToDate(status metav1.ConditionStatus, reason string, parts ...string) func(*tenancyv1alpha1.VirtualCluster) error {
	return func(v *tenancyv1alpha1.VirtualCluster) error {
		got := meta.FindStatusCondition(v.Status.Conditions, tenancyv1alpha1.ConditionUpToDate)
		if got == nil || got.Status != status || got.Reason != reason {
			return fmt.Errorf("UpToDate = %+v, want %s with reason %s", got, status, reason)
		}
		for _, part := range parts {
			if !strings.Contains(got.Message, part) {
				return fmt.Errorf("UpToDate says %q, want %q in it", got.Message, part)
			}
		}
		return nil
	}
}

func all(checks ...func(*tenancyv1alpha1.VirtualCluster) error) func(*tenancyv1alpha1.VirtualCluster) error {
	return func(v *tenancyv1alpha1.VirtualCluster) error {
		var errs []error
		for _, check := range checks {
			errs = append(errs, check(v))
		}
		return errors.Join(errs...)
	}
}

func runs(version string) func(*tenancyv1alpha1.VirtualCluster) error {
	return func(v *tenancyv1alpha1.VirtualCluster) error {
		if v.Status.Version != version {
			return fmt.Errorf("status.version = %q, want %s", v.Status.Version, version)
		}
		return nil
	}
}

func available(v *tenancyv1alpha1.VirtualCluster) error {
	if !meta.IsStatusConditionTrue(v.Status.Conditions, tenancyv1alpha1.ConditionControlPlaneReady) {
		return fmt.Errorf("the control plane is not ready: %v", v.Status.Conditions)
	}
	return nil
}

// pods checks that every pod is of a version, with its image.
func (s *suite) podsRun(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, version string) {
	t.Helper()
	pods := &corev1.PodList{}
	if err := s.client.List(t.Context(), pods, client.InNamespace(controlPlaneNamespace(virtualCluster))); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) == 0 {
		t.Error("there are no pods")
	}
	for _, pod := range pods.Items {
		if image := pod.Spec.Containers[0].Image; pod.Annotations[component.AnnotationVersion] != version || image != "example.test/control-plane:"+version {
			t.Errorf("pod %s of %s runs %s", pod.Name, pod.Annotations[component.AnnotationVersion], image)
		}
	}
}

func (s *suite) statefulSet(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) *appsv1.StatefulSet {
	t.Helper()
	out := &appsv1.StatefulSet{}
	if err := s.client.Get(t.Context(), types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: "control-plane"}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

const before, after = "v1.36.4", "v1.37.1"

func testUpgrade(t *testing.T, s *suite) {
	offers := s.versions(t, "upgrade", "10.230.0.0/20", before, after)
	virtualCluster := s.virtualCluster(t, "upgrade", "upgrade")
	s.settle(t, virtualCluster, nil, 0, "it runs the default", all(runs(before), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))

	// The default moves on: nobody is upgraded.
	change(t, s, offers, func(c *tenancyv1alpha1.VirtualClusterClass) {
		c.Spec.Versions[0].Default, c.Spec.Versions[1].Default = false, true
	})
	for range 3 {
		mustReconcile(t, s.reconciler(nil), virtualCluster)
	}
	s.podsRun(t, virtualCluster, before)

	s.ask(t, virtualCluster, after)
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	live := s.get(t, virtualCluster)
	if err := all(runs(before), upToDate(metav1.ConditionFalse, tenancyv1alpha1.ReasonRollingOut, before, after, "0 of 1"))(live); err != nil {
		t.Error(err)
	}
	want := &tenancyv1alpha1.UpgradeStatus{From: before, To: after, State: tenancyv1alpha1.UpgradeRolling}
	if diff := cmp.Diff(want, live.Status.Upgrade, cmpopts.IgnoreFields(tenancyv1alpha1.UpgradeStatus{}, "StartTime")); diff != "" {
		t.Errorf("status.upgrade (-want +got):\n%s", diff)
	}
	s.settle(t, virtualCluster, nil, 0, "it is upgraded", all(runs(after), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady), available))
	s.podsRun(t, virtualCluster, after)
	if got := s.get(t, virtualCluster).Status.Upgrade; got == nil || got.State != tenancyv1alpha1.UpgradeCompleted {
		t.Errorf("status.upgrade = %+v", got)
	}
	mustReconcile(t, s.reconciler(nil), virtualCluster) // notes the image to go back to
	s.wantNoWrites(t, virtualCluster)

	change(t, s, offers, func(c *tenancyv1alpha1.VirtualClusterClass) { c.Spec.Versions[1].Deprecated = true })
	s.settle(t, virtualCluster, nil, 0, "it is told that its version is deprecated",
		upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonVersionDeprecated, after))
}

// testUpgradeCrashPoints stops vc-manager before and after each write of an
// upgrade, and of a rollback: the next one comes to the same end.
func testUpgradeCrashPoints(t *testing.T, s *suite) {
	s.versions(t, "upgrade-crash", "10.231.0.0/16", before, after)
	for name, tc := range map[string]struct {
		health health
		end    string
		check  func(*tenancyv1alpha1.VirtualCluster) error
	}{
		"upgrade":  {nil, after, upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)},
		"rollback": {health{after: crashing()}, before, upToDate(metav1.ConditionFalse, tenancyv1alpha1.ReasonRolledBack, "CrashLoopBackOff")},
	} {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				survived := false
				for _, afterwards := range []bool{false, true} {
					virtualCluster := s.virtualCluster(t, fmt.Sprintf("%s-%d-%t", name, n, afterwards), "upgrade-crash")
					s.settle(t, virtualCluster, nil, 0, "it runs", all(runs(before), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))
					s.ask(t, virtualCluster, after)
					// One process for the whole of it: the crash is at its n-th write, whichever reconcile that is in.
					hookBefore, hookAfter, crashed := crashAt(n, afterwards)
					r := s.reconciler(s.writes(hookBefore, hookAfter))
					eventually(t, "it crashes or comes to the end", func(ctx context.Context) error {
						_, err := r.Reconcile(ctx, request(virtualCluster))
						if crashed() {
							return nil
						}
						if err != nil {
							return err
						}
						if err := s.playKubelet(ctx, virtualCluster, tc.health); err != nil {
							return err
						}
						return all(runs(tc.end), tc.check)(s.get(t, virtualCluster))
					})
					s.settle(t, virtualCluster, tc.health, 0, fmt.Sprintf("write %d (afterwards %t): it comes to the same end", n, afterwards),
						all(runs(tc.end), tc.check, available, func(*tenancyv1alpha1.VirtualCluster) error {
							return s.settledOn(t, virtualCluster, tc.end)
						}))
					mustReconcile(t, s.reconciler(nil), virtualCluster) // notes the image to go back to
					s.wantNoWrites(t, virtualCluster)
					if !crashed() {
						survived = true
						break
					}
				}
				if survived {
					if n < 4 {
						t.Errorf("only %d writes were seen", n-1)
					}
					t.Logf("%s makes %d writes", name, n-1)
					return
				}
			}
		})
	}
}

// settledOn returns an error unless every pod runs the version, and the
// StatefulSet's controller is in charge of them.
func (s *suite) settledOn(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, version string) error {
	t.Helper()
	pods := &corev1.PodList{}
	if err := s.client.List(t.Context(), pods, client.InNamespace(controlPlaneNamespace(virtualCluster))); err != nil {
		return err
	}
	statefulSet := s.statefulSet(t, virtualCluster)
	for _, pod := range pods.Items {
		if pod.Annotations[component.AnnotationVersion] != version {
			return fmt.Errorf("pod %s is of %s", pod.Name, pod.Annotations[component.AnnotationVersion])
		}
	}
	if len(pods.Items) != 1 || statefulSet.Spec.UpdateStrategy.Type != appsv1.RollingUpdateStatefulSetStrategyType ||
		statefulSet.Status.CurrentRevision != statefulSet.Status.UpdateRevision {
		return fmt.Errorf("%d pods, strategy %s, revisions %s and %s", len(pods.Items), statefulSet.Spec.UpdateStrategy.Type,
			statefulSet.Status.CurrentRevision, statefulSet.Status.UpdateRevision)
	}
	return nil
}

func testUpgradeIsRefused(t *testing.T, s *suite) {
	s.versions(t, "refuse", "10.230.16.0/20", after, before, "v1.38.0", "v1.39.0", "v1.37.0")
	virtualCluster := s.virtualCluster(t, "refuse", "refuse")
	s.settle(t, virtualCluster, nil, 0, "it runs", all(runs(after), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))
	for asked, want := range map[string]struct{ reason, part string }{
		before:    {tenancyv1alpha1.ReasonUpgradeRefused, "older"},
		"v1.37.0": {tenancyv1alpha1.ReasonUpgradeRefused, "older"},
		"v1.39.0": {tenancyv1alpha1.ReasonUpgradeRefused, "one minor"},
		"v1.40.0": {tenancyv1alpha1.ReasonVersionNotOffered, "does not offer"},
	} {
		s.ask(t, virtualCluster, asked)
		mustReconcile(t, s.reconciler(nil), virtualCluster)
		check := all(runs(after), available, upToDate(metav1.ConditionFalse, want.reason, want.part, "v1.37.1, v1.38.0"))
		if err := check(s.get(t, virtualCluster)); err != nil {
			t.Errorf("%s: %v", asked, err)
		}
		s.podsRun(t, virtualCluster, after)
		s.wantNoWrites(t, virtualCluster)
	}
	s.ask(t, virtualCluster, after)
	s.settle(t, virtualCluster, nil, 0, "it is as asked for", upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady))
}

func testUpgradeIsRolledBack(t *testing.T, s *suite) {
	s.versions(t, "rollback", "10.230.32.0/20", before, after)
	virtualCluster := s.virtualCluster(t, "rollback", "rollback")
	s.settle(t, virtualCluster, nil, 0, "it runs", all(runs(before), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))
	sick := health{after: pulling()}
	s.ask(t, virtualCluster, after)
	s.settle(t, virtualCluster, sick, 0, "the new pod is not ready",
		upToDate(metav1.ConditionFalse, tenancyv1alpha1.ReasonRollingOut, "ImagePullBackOff"))
	r := s.reconciler(nil)
	result, err := r.Reconcile(t.Context(), request(virtualCluster))
	if err != nil || result.RequeueAfter <= 0 || result.RequeueAfter > 5*time.Minute {
		t.Errorf("Reconcile = %+v, %v; want to be called before the time is over", result, err)
	}
	s.podsRun(t, virtualCluster, after)

	const late = 5*time.Minute + 10*time.Second
	rolledBack := all(runs(before), available, upToDate(metav1.ConditionFalse, tenancyv1alpha1.ReasonRolledBack, after, "ImagePullBackOff", "5m0s"))
	s.settle(t, virtualCluster, sick, late, "it is rolled back", rolledBack)
	s.podsRun(t, virtualCluster, before)
	s.settle(t, virtualCluster, sick, 24*time.Hour, "it is not tried again", all(rolledBack, func(*tenancyv1alpha1.VirtualCluster) error {
		return s.settledOn(t, virtualCluster, before)
	}))
	s.wantNoWrites(t, virtualCluster)

	s.ask(t, virtualCluster, before)
	s.settle(t, virtualCluster, sick, late, "it forgets", all(upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady), func(v *tenancyv1alpha1.VirtualCluster) error {
		if v.Status.Upgrade != nil {
			return fmt.Errorf("status.upgrade = %+v", v.Status.Upgrade)
		}
		return nil
	}))
	s.ask(t, virtualCluster, after)
	s.settle(t, virtualCluster, nil, late, "it is tried again", all(runs(after), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))
	s.podsRun(t, virtualCluster, after)
}

// testVersionIsWithdrawn: a class that no longer offers what runs takes nobody down.
func testVersionIsWithdrawn(t *testing.T, s *suite) {
	offers := s.versions(t, "withdrawn", "10.230.48.0/20", before, after)
	virtualCluster := s.virtualCluster(t, "withdrawn", "withdrawn")
	s.settle(t, virtualCluster, nil, 0, "it runs", all(runs(before), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))
	pod := &corev1.Pod{}
	key := types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: "control-plane-0"}
	if err := s.client.Get(t.Context(), key, pod); err != nil {
		t.Fatal(err)
	}
	change(t, s, offers, func(c *tenancyv1alpha1.VirtualClusterClass) {
		c.Spec.Versions = slices.DeleteFunc(c.Spec.Versions, func(v tenancyv1alpha1.ClassVersion) bool { return v.Name == before })
		c.Spec.Versions[0].Default = true
	})
	for range 3 {
		mustReconcile(t, s.reconciler(nil), virtualCluster)
	}
	check := all(runs(before), available, upToDate(metav1.ConditionFalse, tenancyv1alpha1.ReasonVersionNotOffered, before, after))
	if err := check(s.get(t, virtualCluster)); err != nil {
		t.Error(err)
	}
	live := &corev1.Pod{}
	if err := s.client.Get(t.Context(), key, live); err != nil || live.UID != pod.UID {
		t.Errorf("the pod was replaced: %v", err)
	}
	s.wantNoWrites(t, virtualCluster)
}

// testClassIsRolledOut: what else a class changes reaches those that run, and they say how far it is.
func testClassIsRolledOut(t *testing.T, s *suite) {
	offers := s.versions(t, "rollout", "10.230.64.0/20", after)
	virtualCluster := s.virtualCluster(t, "rollout", "rollout")
	s.settle(t, virtualCluster, nil, 0, "it runs", all(runs(after), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))
	change(t, s, offers, func(c *tenancyv1alpha1.VirtualClusterClass) {
		c.Spec.ControlPlane.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("123m")}
	})
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	if err := upToDate(metav1.ConditionFalse, tenancyv1alpha1.ReasonRollingOut, "0 of 1")(s.get(t, virtualCluster)); err != nil {
		t.Error(err)
	}
	s.settle(t, virtualCluster, nil, 0, "it is rolled out", all(upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady), available))
	pod := &corev1.Pod{}
	if err := s.client.Get(t.Context(), types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: "control-plane-0"}, pod); err != nil {
		t.Fatal(err)
	}
	if got := pod.Spec.Containers[0].Resources.Requests.Cpu().String(); got != "123m" {
		t.Errorf("the pod asks for %s", got)
	}
}

func testPaused(t *testing.T, s *suite) {
	offers := s.versions(t, "paused", "10.230.80.0/20", before, after)
	early := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: "paused-early"}}
	early.Spec.ClassName, early.Spec.Paused = "paused", true
	s.create(t, early)
	mustReconcile(t, s.reconciler(nil), early)
	if left := s.objectsOf(t, early); len(left) > 0 || len(s.get(t, early).Finalizers) > 0 {
		t.Errorf("made while paused: %v", left)
	}
	if err := upToDate(metav1.ConditionFalse, tenancyv1alpha1.ReasonPaused)(s.get(t, early)); err != nil {
		t.Error(err)
	}

	virtualCluster := s.virtualCluster(t, "paused", "paused")
	s.settle(t, virtualCluster, nil, 0, "it runs", all(runs(before), upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))
	statefulSet := s.statefulSet(t, virtualCluster)
	change(t, s, virtualCluster, func(v *tenancyv1alpha1.VirtualCluster) { v.Spec.Paused, v.Spec.Version = true, after })
	change(t, s, offers, func(c *tenancyv1alpha1.VirtualClusterClass) {
		c.Spec.ControlPlane.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("123m")}
	})
	writes := 0
	r := s.reconciler(s.writes(func() error { writes++; return nil }, func() error { return nil }))
	mustReconcile(t, r, virtualCluster)
	paused := all(runs(before), available, upToDate(metav1.ConditionFalse, tenancyv1alpha1.ReasonPaused))
	if err := paused(s.get(t, virtualCluster)); err != nil {
		t.Error(err)
	}
	if writes != 1 {
		t.Errorf("%d writes, want the status alone", writes)
	}
	s.wantNoWrites(t, virtualCluster)
	if live := s.statefulSet(t, virtualCluster); live.Generation != statefulSet.Generation {
		t.Error("the StatefulSet was changed")
	}
	// What happens is still seen.
	r.Probe = func(context.Context, string, []byte) error { return errors.New("no answer") }
	mustReconcile(t, r, virtualCluster)
	if err := s.wantCondition(t.Context(), virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonControlPlaneUnavailable); err != nil {
		t.Error(err)
	}
	change(t, s, virtualCluster, func(v *tenancyv1alpha1.VirtualCluster) { v.Spec.Paused = false })
	s.settle(t, virtualCluster, nil, 0, "it goes on", all(runs(after), available, upToDate(metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)))
	change(t, s, virtualCluster, func(v *tenancyv1alpha1.VirtualCluster) { v.Spec.Paused = true })
	s.deleteAndWait(t, s.reconciler(nil), virtualCluster)
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// toldWithin is how soon something that cannot be, or is under way, must be told.
	toldWithin = 10 * time.Second
	// rolledWithin is how long all replicas of a control plane may take to be replaced.
	rolledWithin = 4 * time.Minute
)

// newClass makes a class like the default one, with a change.
func newClass(t *testing.T, name string, change func(*tenancyv1alpha1.VirtualClusterClassSpec)) *tenancyv1alpha1.VirtualClusterClass {
	t.Helper()
	like := &tenancyv1alpha1.VirtualClusterClass{}
	if err := superClient.Get(t.Context(), client.ObjectKey{Name: "default"}, like); err != nil {
		t.Fatal(err)
	}
	out := &tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: *like.Spec.DeepCopy()}
	change(&out.Spec)
	createInSuper(t, out)
	return out
}

// changeClass changes a class that there is.
func changeClass(t *testing.T, class *tenancyv1alpha1.VirtualClusterClass, change func(*tenancyv1alpha1.VirtualClusterClassSpec)) {
	t.Helper()
	if err := superClient.Get(t.Context(), client.ObjectKeyFromObject(class), class); err != nil {
		t.Fatal(err)
	}
	before := class.DeepCopy()
	change(&class.Spec)
	if err := superClient.Patch(t.Context(), class, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func unchanged(*tenancyv1alpha1.VirtualClusterClassSpec) {}

// requestCPU asks for so much CPU for a control plane.
func requestCPU(resources *corev1.ResourceRequirements, cpu string) {
	if resources.Requests == nil {
		resources.Requests = corev1.ResourceList{}
	}
	resources.Requests[corev1.ResourceCPU] = resource.MustParse(cpu)
}

// TestClassInUse: a class goes with the last that names it, takes nobody new
// until then, and says so.
func TestClassInUse(t *testing.T) {
	class := newClass(t, "leaving", unchanged)
	tn := newTenantOf(t, "last", class.Name)
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "delete", "vcclass", class.Name, "--wait=false")
	told := func(ctx context.Context) error {
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(class), class); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(class.Status.Conditions, tenancyv1alpha1.ClassConditionReady)
		if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != tenancyv1alpha1.ReasonClassDeleting || class.Status.VirtualClusters != 1 {
			return fmt.Errorf("%d users, Ready = %+v", class.Status.VirtualClusters, ready)
		}
		return nil
	}
	eventually(t, toldWithin, "that the class is to go", told)
	t.Logf("the class says: %s", meta.FindStatusCondition(class.Status.Conditions, tenancyv1alpha1.ClassConditionReady).Message)

	late := newVirtualCluster("late")
	late.Spec.ClassName = class.Name
	t.Cleanup(func() { deleteTenant(t, late.Name) })
	if err := superClient.Create(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	waitNotReady(t, late, tenancyv1alpha1.ReasonClassDeleting, "another class")
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "delete", "vc", late.Name, "--timeout=60s")
	eventually(t, toldWithin, "that one is left", told)
	// Who was there before is served as ever.
	if err := tn.client.Create(t.Context(), newPod("default", "served")); err != nil {
		t.Fatal(err)
	}
	tn.waitRunning(t, "default", "served")

	must(t, "kubectl", "--kubeconfig", superKubeconfig, "delete", "vc", tn.name, "--timeout=90s")
	eventually(t, toldWithin, "the class is gone", func(ctx context.Context) error { return gone(ctx, client.ObjectKeyFromObject(class), class) })
}

// TestChangeOfAClass: what the class says reaches its tenants, each of which
// tells how far it is. Their pods run on.
func TestChangeOfAClass(t *testing.T) {
	const cpu = "53m"
	class := newClass(t, "resized", unchanged)
	tenants := []*tenant{newTenantOf(t, "resized-a", class.Name), newTenantOf(t, "resized-b", class.Name)}
	before := map[string]bystander{}
	for _, tn := range tenants {
		waitCondition(t, tn.object, time.Minute, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
		if err := tn.client.Create(t.Context(), newPod("default", "bystander")); err != nil {
			t.Fatal(err)
		}
		before[tn.name] = tn.observe(t, "bystander")
	}
	changed := time.Now()
	changeClass(t, class, func(spec *tenancyv1alpha1.VirtualClusterClassSpec) { requestCPU(&spec.ControlPlane.Resources, cpu) })
	rolling := map[string]bool{}
	eventually(t, toldWithin, "all are rolling out", func(ctx context.Context) error {
		for _, tn := range tenants {
			if err := superClient.Get(ctx, client.ObjectKeyFromObject(tn.object), tn.object); err != nil {
				return err
			}
			got := condition(tn.object, tenancyv1alpha1.ConditionUpToDate)
			rolling[tn.name] = rolling[tn.name] || got.Status == metav1.ConditionFalse && got.Reason == tenancyv1alpha1.ReasonRollingOut
		}
		for _, tn := range tenants {
			if !rolling[tn.name] {
				return fmt.Errorf("%s: UpToDate = %+v", tn.name, condition(tn.object, tenancyv1alpha1.ConditionUpToDate))
			}
		}
		return nil
	})
	for _, tn := range tenants {
		waitCondition(t, tn.object, rolledWithin, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
		waitCondition(t, tn.object, time.Minute, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
		t.Logf("%s is up to date after %s", tn.name, time.Since(changed).Round(time.Second))
		if got := tn.requestedCPU(t); got != cpu {
			t.Errorf("%s: the control plane asks for %s of CPU, want %s", tn.name, got, cpu)
		}
		tn.wantUntouched(t, "bystander", before[tn.name])
	}
}

// firstReplica reads the pod of the control plane's first replica.
func (tn *tenant) firstReplica(t *testing.T) *corev1.Pod {
	t.Helper()
	pod := &corev1.Pod{}
	key := client.ObjectKey{Namespace: tn.names().ControlPlaneNamespace(), Name: "control-plane-0"}
	if err := superClient.Get(t.Context(), key, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

func (tn *tenant) requestedCPU(t *testing.T) string {
	t.Helper()
	return tn.firstReplica(t).Spec.Containers[0].Resources.Requests.Cpu().String()
}

// patchTenant patches the virtual cluster as an administrator of the platform does.
func (tn *tenant) patchTenant(t *testing.T, patch string) error {
	t.Helper()
	_, _, err := try(t.Context(), nil, "kubectl", "--kubeconfig", superKubeconfig, "patch", "vc", tn.name, "--type=merge", "-p", patch)
	return err
}

func (tn *tenant) mustPatchTenant(t *testing.T, patch string) {
	t.Helper()
	if err := tn.patchTenant(t, patch); err != nil {
		t.Fatal(err)
	}
}

// wantRefused checks that kubectl failed and showed the message.
func wantRefused(t *testing.T, err error, message string) {
	t.Helper()
	if err == nil {
		err = errors.New("it was allowed")
	}
	if !strings.Contains(err.Error(), message) {
		t.Errorf("want it refused with %q: %v", message, err)
	}
}

// TestChangesOfAVirtualCluster: what cannot be changed is refused, with the
// remedy; paused and protected mean it.
func TestChangesOfAVirtualCluster(t *testing.T) {
	tn := newTenant(t, "settled")
	waitCondition(t, tn.object, time.Minute, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	for name, tc := range map[string]struct{ patch, want string }{
		"two replicas":    {`{"spec":{"controlPlane":{"replicas":2}}}`, "replicas must be 1 or 3: a database of two voters is lost with either of them"},
		"another class":   {`{"spec":{"className":"gold"}}`, "className cannot be changed: create another VirtualCluster"},
		"another storage": {`{"spec":{"controlPlane":{"storage":{"size":"9Gi"}}}}`, "controlPlane.storage cannot be changed: the database lies on it; create another VirtualCluster"},
		"external": {`{"spec":{"controlPlane":{"external":{"kubeconfigSecretRef":{"name":"x"}}}}}`,
			"controlPlane.external cannot be added or removed: create another VirtualCluster"},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, tn.patchTenant(t, tc.patch), tc.want) })
	}
	t.Run("paused", func(t *testing.T) { testPaused(t, tn) })
	t.Run("protected", func(t *testing.T) { testProtected(t, tn) })
}

// testPaused: what is asked for while a virtual cluster is paused is done afterwards.
func testPaused(t *testing.T, tn *tenant) {
	const cpu = "54m"
	before := tn.firstReplica(t)
	tn.mustPatchTenant(t, `{"spec":{"paused":true}}`)
	waitCondition(t, tn.object, toldWithin, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonPaused)
	tn.mustPatchTenant(t, `{"spec":{"controlPlane":{"resources":{"requests":{"cpu":"`+cpu+`"}}}}}`)
	// It has seen the change, and left it alone.
	waitCondition(t, tn.object, toldWithin, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonPaused)
	waitCondition(t, tn.object, toldWithin, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	if after := tn.firstReplica(t); after.UID != before.UID || tn.requestedCPU(t) == cpu {
		t.Error("the control plane was changed while it was paused")
	}
	tn.mustPatchTenant(t, `{"spec":{"paused":false}}`)
	eventually(t, rolledWithin, "the change reaches the control plane", func(ctx context.Context) error {
		pod := &corev1.Pod{}
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(before), pod); err != nil {
			return err
		}
		if got := pod.Spec.Containers[0].Resources.Requests.Cpu().String(); got != cpu {
			return fmt.Errorf("it asks for %s of CPU", got)
		}
		return nil
	})
	waitCondition(t, tn.object, rolledWithin, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
}

// testProtected: nobody deletes what is protected, not even with its namespace's others.
func testProtected(t *testing.T, tn *tenant) {
	tn.mustPatchTenant(t, `{"spec":{"deletionProtection":true}}`)
	// Whatever happens here, the test's own end can delete it.
	t.Cleanup(func() {
		if t.Failed() {
			_ = tn.patchTenant(t, `{"spec":{"deletionProtection":false}}`) // It may be gone.
		}
	})
	_, _, err := try(t.Context(), nil, "kubectl", "--kubeconfig", superKubeconfig, "delete", "vc", tn.name, "--wait=false")
	wantRefused(t, err, "everything in default/"+tn.name+" would be lost; set it to false first")
	if err := superClient.Get(t.Context(), client.ObjectKeyFromObject(tn.object), tn.object); err != nil || tn.object.DeletionTimestamp != nil {
		t.Fatalf("it was refused, and yet: %v, deleted at %v", err, tn.object.DeletionTimestamp)
	}
	tn.mustPatchTenant(t, `{"spec":{"deletionProtection":false}}`)
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "delete", "vc", tn.name, "--timeout=90s")
}

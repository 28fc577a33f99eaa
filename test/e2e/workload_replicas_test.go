// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// testDeployment rolls out, serves through its Service by name, is scaled,
// changed and rolled back.
func testDeployment(t *testing.T, w *workload) {
	w.apply(t, "deployment.yaml")
	w.in(t, "rollout", "status", "deployment/web", "--timeout=60s")
	w.startClient(t)
	release := func() string {
		return w.in(t, "exec", "client", "--", "wget", "-qO-", "http://web/shell?cmd=echo%20%24RELEASE")
	}
	eventually(t, 20*time.Second, "an answer of the Service by its name", func(ctx context.Context) error {
		_, _, err := try(ctx, nil, "kubectl", "--kubeconfig", w.kubeconfig, "-n", w.namespace, "exec", "client", "--", "wget", "-qO-", "http://web/hostname")
		return err
	})
	if got := release(); !strings.Contains(got, "one") {
		t.Errorf("the first release answers %s", got)
	}
	w.in(t, "scale", "deployment/web", "--replicas=3")
	w.pods(t, "web", 3)
	w.in(t, "set", "env", "deployment/web", "RELEASE=two")
	w.in(t, "rollout", "status", "deployment/web", "--timeout=90s")
	w.pods(t, "web", 3)
	if got := release(); !strings.Contains(got, "two") {
		t.Errorf("the second release answers %s", got)
	}
	w.in(t, "rollout", "undo", "deployment/web")
	w.in(t, "rollout", "status", "deployment/web", "--timeout=90s")
	w.pods(t, "web", 3)
	if got := release(); !strings.Contains(got, "one") {
		t.Errorf("after the undo it answers %s", got)
	}
	superPods := &corev1.PodList{}
	if err := superClient.List(t.Context(), superPods, client.InNamespace(w.names().Namespace(w.namespace))); err != nil {
		t.Fatal(err)
	}
	if len(superPods.Items) != 4 { // three replicas and the client
		t.Errorf("the super cluster holds %d pods, want 4", len(superPods.Items))
	}
}

// testStatefulSet keeps what its pods wrote across their deletion, and its
// claims' data until the claims are deleted.
func testStatefulSet(t *testing.T, w *workload) {
	w.apply(t, "statefulset.yaml")
	w.in(t, "rollout", "status", "statefulset/db", "--timeout=90s")
	w.in(t, "exec", "db-0", "--", "sh", "-c", "echo precious >/data/mine; echo $(hostname) >/data/name")
	w.in(t, "exec", "db-1", "--", "sh", "-c", "echo other >/data/mine")
	before := &corev1.Pod{}
	w.get(t, "db-0", before)
	if err := w.client.Delete(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "another db-0", func(ctx context.Context) error {
		after := &corev1.Pod{}
		if err := w.fetch(ctx, "db-0", after); err != nil {
			return err
		}
		if after.UID == before.UID || !isReady(after) {
			return fmt.Errorf("pod %s, ready: %v", after.UID, isReady(after))
		}
		return nil
	})
	if got := w.in(t, "exec", "db-0", "--", "cat", "/data/mine", "/data/name"); got != "precious\ndb-0" {
		t.Errorf("db-0 finds %q", got)
	}
	if got := w.in(t, "exec", "db-1", "--", "cat", "/data/mine"); got != "other" {
		t.Errorf("db-1 finds %q", got)
	}
	eventually(t, 20*time.Second, "db-1 by its name", func(ctx context.Context) error {
		_, _, err := try(ctx, nil, "kubectl", "--kubeconfig", w.kubeconfig, "-n", w.namespace, "exec", "db-0", "--",
			"wget", "-qO-", "http://db-1.db."+w.namespace+".svc.cluster.local:8080/hostname")
		return err
	})
	checkVolume(t, w)
}

// checkVolume looks at a claim from both sides and sees its volume go.
func checkVolume(t *testing.T, w *workload) {
	t.Helper()
	claim := &corev1.PersistentVolumeClaim{}
	w.get(t, "data-db-0", claim)
	if claim.Status.Phase != corev1.ClaimBound || claim.Spec.VolumeName == "" {
		t.Fatalf("the claim is %s, its volume %q", claim.Status.Phase, claim.Spec.VolumeName)
	}
	volume := &corev1.PersistentVolume{}
	if err := w.client.Get(t.Context(), client.ObjectKey{Name: claim.Spec.VolumeName}, volume); err != nil {
		t.Fatal(err)
	}
	if ref := volume.Spec.ClaimRef; ref == nil || ref.UID != claim.UID || volume.Spec.HostPath != nil || volume.Spec.Local != nil {
		t.Errorf("the tenant sees the volume %+v", volume.Spec)
	}
	w.in(t, "delete", "statefulset", "db")
	w.in(t, "delete", "pvc", "data-db-0", "--timeout=60s")
	eventually(t, time.Minute, "the volume gone on both sides", func(ctx context.Context) error {
		if err := gone(ctx, client.ObjectKey{Name: volume.Name}, &corev1.PersistentVolume{}); err != nil {
			return err
		}
		if err := w.client.Get(ctx, client.ObjectKey{Name: volume.Name}, volume); client.IgnoreNotFound(err) != nil || err == nil {
			return fmt.Errorf("the tenant's volume: %w", err)
		}
		return nil
	})
}

// testDaemonSet has one pod, on the virtual node.
func testDaemonSet(t *testing.T, w *workload) {
	w.apply(t, "daemonset.yaml")
	w.in(t, "rollout", "status", "daemonset/agent", "--timeout=60s")
	if pod := w.pods(t, "agent", 1)[0]; pod.Spec.NodeName != tenancyv1alpha1.VirtualNodeName {
		t.Errorf("the pod is on %q", pod.Spec.NodeName)
	}
}

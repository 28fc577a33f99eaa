// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestWorkloads runs what people run, in one tenant: each part in a namespace
// of its own, with kubectl where a user would use kubectl.
func TestWorkloads(t *testing.T) {
	tn := newTenant(t, "workloads")
	parts := []struct {
		name string
		run  func(t *testing.T, w *workload)
	}{
		{"cronjob-begins", beginCronJob}, // it needs the minute in which the others run
		{"deployment", testDeployment},
		{"statefulset", testStatefulSet},
		{"daemonset", testDaemonSet},
		{"job", testJob},
		{"ingress", testIngress},
		{"networkpolicy", testNetworkPolicy},
		{"budget", testDisruptionBudget},
		{"webhook", testWebhook},
		{"operator", testOperator},
		{"debug", testDebug},
		{"resize", testResize},
		{"cronjob", testCronJob},
	}
	for _, part := range parts {
		t.Run(part.name, func(t *testing.T) {
			w := &workload{tenant: tn, namespace: part.name}
			if err := tn.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: part.name}}); err != nil {
				t.Fatal(err)
			}
			part.run(t, w)
		})
	}
}

// workload is a namespace of a tenant that one part of a test has for itself.
type workload struct {
	*tenant
	namespace string
}

// in runs kubectl in the workload's namespace.
func (w *workload) in(t *testing.T, args ...string) string {
	t.Helper()
	return w.kubectl(t, append([]string{"--namespace", w.namespace}, args...)...)
}

// apply applies a manifest of testdata/workloads.
func (w *workload) apply(t *testing.T, manifest string) {
	t.Helper()
	w.in(t, "apply", "-f", filepath.Join(repository, "test", "e2e", "testdata", "workloads", manifest))
}

// fetch reads an object of the workload.
func (w *workload) fetch(ctx context.Context, name string, object client.Object) error {
	return w.client.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: name}, object)
}

// get reads an object of the workload that exists.
func (w *workload) get(t *testing.T, name string, object client.Object) {
	t.Helper()
	if err := w.fetch(t.Context(), name, object); err != nil {
		t.Fatal(err)
	}
}

// getSuper waits for the super cluster's image of an object.
func (w *workload) getSuper(t *testing.T, name string, object client.Object) {
	t.Helper()
	eventually(t, 10*time.Second, "the super object "+name, func(ctx context.Context) error {
		return superClient.Get(ctx, w.superKey(w.namespace, name), object)
	})
}

// pods waits until exactly want pods of a label are ready, and returns them.
func (w *workload) pods(t *testing.T, app string, want int) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	eventually(t, time.Minute, fmt.Sprintf("%d ready pods of %s", want, app), func(ctx context.Context) error {
		if err := w.client.List(ctx, &list, client.InNamespace(w.namespace), client.MatchingLabels{"app": app}); err != nil {
			return err
		}
		ready := 0
		for i := range list.Items {
			if isReady(&list.Items[i]) {
				ready++
			}
		}
		if ready != want || len(list.Items) != want {
			return fmt.Errorf("%d of %d pods are ready", ready, len(list.Items))
		}
		return nil
	})
	return list.Items
}

// isReady reports a pod whose containers run, pass their probes and are not to end.
func isReady(pod *corev1.Pod) bool {
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}

// startClient starts a pod that makes requests.
func (w *workload) startClient(t *testing.T) {
	t.Helper()
	if err := w.client.Create(t.Context(), newPod(w.namespace, "client")); err != nil {
		t.Fatal(err)
	}
	w.waitRunning(t, w.namespace, "client")
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// atOnce creates thirty virtual clusters at the same time, and waits for all.
// Their class is the default one, but that their requests fit on a small machine.
func atOnce(b *testing.B, t *timeline) {
	const count, scenario, class = 30, "at once", "small"
	createSmallClass(b, class)
	var ids []types.UID
	var names []string
	start := time.Now()
	for i := range count {
		names = append(names, fmt.Sprintf("once-%d", i))
		id, _ := create(b, names[i], class)
		ids = append(ids, id)
	}
	t.await(b, partReady, 15*time.Minute, ids...)
	var took []time.Duration
	for _, id := range ids {
		took = append(took, t.after(id, partReady, start))
	}
	results.Note(scenario, "virtual clusters", "", count)
	results.Note(scenario, "first Ready", "s", quantile(took, 0).Seconds())
	results.Note(scenario, "half Ready", "s", quantile(took, 0.5).Seconds())
	results.Note(scenario, "all Ready", "s", quantile(took, 1).Seconds())
	results.Note(scenario, "restarts of control planes", "", restarts(b))
	manager := memoryOf(b, findProcess(b, func(cmdline []byte) bool {
		return bytes.Contains(cmdline, []byte("/vc-manager\x00"))
	}, "vc-manager"))
	results.Note(scenario, "vc-manager resident", "MiB", manager["Rss"])
	results.Note(scenario, "vc-manager private", "MiB", manager["Private_Clean"]+manager["Private_Dirty"])
	began := time.Now()
	remove(b, names...)
	results.Note(scenario, "all gone", "s", time.Since(began).Seconds())
}

// createSmallClass makes a class like the default one for a machine of two cores.
func createSmallClass(b *testing.B, name string) {
	b.Helper()
	class := &tenancyv1alpha1.VirtualClusterClass{}
	if err := superClient.Get(b.Context(), types.NamespacedName{Name: "default"}, class); err != nil {
		b.Fatal(err)
	}
	small := &tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: class.Spec}
	small.Spec.ControlPlane.Resources.Requests = corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("10m"), corev1.ResourceMemory: resource.MustParse("160Mi"),
	}
	if err := superClient.Create(b.Context(), small); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := client.IgnoreNotFound(superClient.Delete(context.WithoutCancel(b.Context()), small)); err != nil {
			b.Errorf("removing the class: %v", err)
		}
	})
}

// restarts returns how often containers of control planes have started again.
func restarts(b *testing.B) float64 {
	b.Helper()
	var pods corev1.PodList
	err := superClient.List(b.Context(), &pods, client.MatchingLabels{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager})
	if err != nil {
		b.Fatal(err)
	}
	sum := 0.0
	for i := range pods.Items {
		for _, status := range pods.Items[i].Status.ContainerStatuses {
			sum += float64(status.RestartCount)
		}
	}
	return sum
}

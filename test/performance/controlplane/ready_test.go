// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// BenchmarkControlPlanes runs the scenarios one after the other: they share a machine.
func BenchmarkControlPlanes(b *testing.B) {
	t := watchTimeline(b)
	b.Run("in a row", func(b *testing.B) { inARow(b, t) })
	b.Run("idle", func(b *testing.B) { idle(b, t) })
	b.Run("at once", func(b *testing.B) { atOnce(b, t) })
	if err := results.Write(b.Context(), resultFile); err != nil {
		b.Error(err)
	}
}

// inARow creates ten virtual clusters, each when the one before is gone, as the
// images are present: what one tenant waits for.
func inARow(b *testing.B, t *timeline) {
	const count, scenario = 10, "in a row"
	took := map[string][]time.Duration{}
	var deletions []time.Duration
	for i := range count {
		name := fmt.Sprintf("row-%d", i)
		id, start := create(b, name, "default")
		t.await(b, partReady, 2*time.Minute, id)
		for _, part := range parts() {
			took[part] = append(took[part], t.after(id, part, start))
		}
		start = time.Now()
		remove(b, name)
		deletions = append(deletions, time.Since(start))
	}
	for _, part := range parts() {
		results.Note(scenario, part+" p50", "s", quantile(took[part], 0.5).Seconds())
	}
	results.Note(scenario, partReady+" p99", "s", quantile(took[partReady], 0.99).Seconds())
	results.Note(scenario, "gone p50", "s", quantile(deletions, 0.5).Seconds())
}

// remove deletes virtual clusters and waits until they are gone.
func remove(b *testing.B, names ...string) {
	b.Helper()
	for _, name := range names {
		object := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
		if err := client.IgnoreNotFound(superClient.Delete(b.Context(), object)); err != nil {
			b.Fatal(err)
		}
	}
	for _, name := range names {
		err := wait.PollUntilContextTimeout(b.Context(), 50*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
			err := superClient.Get(ctx, types.NamespacedName{Namespace: metav1.NamespaceDefault, Name: name}, &tenancyv1alpha1.VirtualCluster{})
			return err != nil && client.IgnoreNotFound(err) == nil, client.IgnoreNotFound(err)
		})
		if err != nil {
			b.Fatalf("waiting for the end of %s: %v", name, err)
		}
	}
}

// quantile returns the value that a part q of the values does not exceed.
func quantile(values []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

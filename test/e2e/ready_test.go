// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// readyWithin is what the project promises for a virtual cluster whose images are present.
const readyWithin = 20 * time.Second

// TestReadySoon measures from the create call to Ready=True, and says what the
// time was spent on.
func TestReadySoon(t *testing.T) {
	const name = "soon"
	object := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
	t.Cleanup(func() { deleteTenant(t, name) })
	started := time.Now()
	if err := superClient.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	seen := map[string]time.Duration{}
	eventually(t, 2*time.Minute, "Ready", func(ctx context.Context) error {
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		for _, c := range object.Status.Conditions {
			if _, known := seen[c.Type]; !known && c.Status == metav1.ConditionTrue {
				seen[c.Type] = time.Since(started)
			}
		}
		if ready := condition(object, tenancyv1alpha1.ConditionReady); ready.Status != metav1.ConditionTrue {
			return fmt.Errorf("%s: %s", ready.Reason, ready.Message)
		}
		return nil
	})
	types := make([]string, 0, len(seen))
	for kind := range seen {
		types = append(types, kind)
	}
	slices.SortFunc(types, func(a, b string) int { return int(seen[a] - seen[b]) })
	for _, kind := range types {
		t.Logf("%6.2f s  %s", seen[kind].Seconds(), kind)
	}
	if took := seen[tenancyv1alpha1.ConditionReady]; took > readyWithin {
		t.Errorf("Ready after %s, promised within %s", took.Round(time.Millisecond), readyWithin)
	}
	if object.Status.Version != "v1.37.1" {
		t.Errorf("status.version is %q", object.Status.Version)
	}
}

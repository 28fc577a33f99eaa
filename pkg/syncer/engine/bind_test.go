// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestABindingIsWrittenOnce: the super pod's next event comes before the
// tenant's cache shows the binding.
func TestABindingIsWrittenOnce(t *testing.T) {
	k := process()
	k.Attach = nil
	k.Placement = func(super, _ *corev1.Pod) string { return super.Spec.NodeName }
	tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")...)
	bindings := 0
	tenantSide.intercept(interceptor.Funcs{SubResourceCreate: func(_ context.Context, _ client.Client, path string, _, _ client.Object, _ ...client.SubResourceCreateOption) error {
		if path == "binding" {
			bindings++
		}
		return nil
	}})
	pass := newPasses(t, k.Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide)
	for range 3 {
		if err := pass(); err != nil {
			t.Fatal(err)
		}
	}
	if bindings != 1 {
		t.Errorf("%d bindings", bindings)
	}
}

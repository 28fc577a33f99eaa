// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// testOperator runs a real operator with CRDs in the tenant and sees it answer
// a custom resource: elected, watching, and writing status.
func testOperator(t *testing.T, w *workload) {
	w.kubectl(t, "apply", "-f", filepath.Join(repository, "config", "crd"))
	// kubectl wait fails at once on a definition that has no conditions yet.
	eventually(t, 30*time.Second, "the definition established", func(ctx context.Context) error {
		_, _, err := try(ctx, nil, "kubectl", "--kubeconfig", w.kubeconfig, "wait", "--for=condition=Established",
			"crd/virtualclusters.tenancy.virtualcluster.io", "--timeout=5s")
		return err
	})
	w.kubectl(t, "apply", "-f", filepath.Join(repository, "test", "e2e", "testdata", "workloads", "operator.yaml"))
	w.in(t, "rollout", "status", "deployment/operator", "--timeout=60s")
	inner := &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "inner"}, Spec: tenancyv1alpha1.VirtualClusterSpec{ClassName: "missing"},
	}
	if err := w.client.Create(t.Context(), inner); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the operator's answer", func(ctx context.Context) error {
		if err := w.fetch(ctx, "inner", inner); err != nil {
			return err
		}
		if got := condition(inner, tenancyv1alpha1.ConditionClassResolved); got.Reason != tenancyv1alpha1.ReasonClassNotFound {
			return fmt.Errorf("its condition is %+v", got)
		}
		return nil
	})
	if err := w.client.Delete(t.Context(), inner); err != nil {
		t.Fatal(err)
	}
	eventually(t, 30*time.Second, "the operator's finalizer removed", func(ctx context.Context) error {
		err := w.fetch(ctx, "inner", inner)
		if err == nil {
			return fmt.Errorf("finalizers %v", inner.Finalizers)
		}
		return client.IgnoreNotFound(err)
	})
}

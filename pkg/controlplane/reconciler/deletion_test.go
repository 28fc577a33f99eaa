// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDescribeDeletion(t *testing.T) {
	cases := map[string]struct {
		left   string
		err    error
		waited time.Duration
		want   string
	}{
		"soon":   {"the pods", nil, time.Second, "the control plane is being deleted"},
		"slow":   {"the pods", nil, time.Minute, "the control plane is being deleted: waiting for the end of the pods"},
		"failed": {"", errors.New("refused"), time.Second, "the control plane is being deleted: refused"},
	}
	for name, tc := range cases {
		if got := describeDeletion(tc.left, tc.err, tc.waited); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// TestDescribeNamespace: what keeps a namespace is what its controller says.
func TestDescribeNamespace(t *testing.T) {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "vcp-demo"}}
	namespace.Status.Conditions = []corev1.NamespaceCondition{
		{Type: corev1.NamespaceDeletionDiscoveryFailure, Status: corev1.ConditionFalse, Message: "all is well"},
		{Type: corev1.NamespaceFinalizersRemaining, Status: corev1.ConditionTrue, Message: "example.test/foreign in 1 resource instances"},
	}
	want := "Namespace vcp-demo; example.test/foreign in 1 resource instances"
	if got := describeNamespace(namespace); got != want {
		t.Errorf("describeNamespace = %q, want %q", got, want)
	}
}

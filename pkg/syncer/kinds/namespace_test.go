// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) Namespace() kindtest.Sample {
	return kindtest.Sample{Tenant: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", UID: "u", Labels: map[string]string{podSecurityEnforce: "privileged"},
	}}}
}

// TestNamespaceEnforces: the class can make it stricter, and nobody laxer.
func TestNamespaceEnforces(t *testing.T) {
	for level, want := range map[tenancyv1alpha1.PodSecurityLevel]string{
		"": "baseline", "baseline": "baseline", "restricted": "restricted", "privileged": "baseline",
	} {
		env := kindtest.Env(nil, nil)
		env.Facts.PodSecurity = level
		super := &corev1.Namespace{}
		if err := namespace().Down(t.Context(), env, &corev1.Namespace{}, super); err != nil {
			t.Fatal(err)
		}
		if got := super.Labels["pod-security.kubernetes.io/enforce"]; got != want {
			t.Errorf("level %q: enforce=%q, want %q", level, got, want)
		}
	}
}

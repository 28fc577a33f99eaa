// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) Namespace() kindtest.Sample {
	return kindtest.Sample{Tenant: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", UID: "u", Labels: map[string]string{podSecurityEnforce: "privileged"},
	}}}
}

func TestNamespaceEnforcesBaseline(t *testing.T) {
	super := &corev1.Namespace{}
	if err := namespace().Down(t.Context(), kindtest.Env(nil, nil), &corev1.Namespace{}, super); err != nil {
		t.Fatal(err)
	}
	if got := super.Labels["pod-security.kubernetes.io/enforce"]; got != "baseline" {
		t.Errorf("enforce=%q", got)
	}
}

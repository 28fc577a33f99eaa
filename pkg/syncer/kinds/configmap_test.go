// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) ConfigMap() kindtest.Sample {
	return kindtest.Sample{Tenant: &corev1.ConfigMap{
		ObjectMeta: meta("shop", "kube-root-ca.crt"), Data: map[string]string{"a": "b"}, Immutable: ptr.To(true),
	}}
}

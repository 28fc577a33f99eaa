// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) Secret() kindtest.Sample {
	return kindtest.Sample{Tenant: &corev1.Secret{
		ObjectMeta: meta("shop", "token"), Type: corev1.SecretTypeServiceAccountToken, Data: map[string][]byte{"a": []byte("b")},
	}}
}

func TestSecretTypes(t *testing.T) {
	cases := map[corev1.SecretType]corev1.SecretType{
		corev1.SecretTypeOpaque:              corev1.SecretTypeOpaque,
		corev1.SecretTypeServiceAccountToken: corev1.SecretTypeOpaque,
		corev1.SecretTypeBootstrapToken:      corev1.SecretTypeOpaque,
		"example.com/own":                    corev1.SecretTypeOpaque,
		corev1.SecretTypeDockerConfigJson:    corev1.SecretTypeDockerConfigJson,
		corev1.SecretTypeTLS:                 corev1.SecretTypeTLS,
	}
	for tenant, want := range cases {
		if got := superSecretType(tenant); got != want {
			t.Errorf("%s becomes %s, want %s", tenant, got, want)
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// KeyCA is the key of the issuer's certificate in a kubernetes.io/tls Secret.
const KeyCA = "ca.crt"

// AgentServingCA returns the Secret of the authority that signs vn-agent's
// serving certificate. It belongs to the platform, not to a tenant.
func AgentServingCA(namespace string, certPEM, keyPEM []byte) *corev1.Secret {
	return platformTLS(namespace, tenancyv1alpha1.SecretAgentServingCA, certPEM, keyPEM)
}

// AgentServing returns the Secret of vn-agent's serving certificate.
func AgentServing(namespace string, certPEM, keyPEM, caPEM []byte) *corev1.Secret {
	secret := platformTLS(namespace, tenancyv1alpha1.SecretAgentServing, certPEM, keyPEM)
	secret.Data[KeyCA] = caPEM
	return secret
}

func platformTLS(namespace, name string, certPEM, keyPEM []byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager},
		},
		Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: certPEM, corev1.TLSPrivateKeyKey: keyPEM},
	}
}

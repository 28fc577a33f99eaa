// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Names of the Secrets that only vc-manager and the control plane read.
const (
	// SecretAuthorities holds the keys of the tenant's authorities, of the first
	// generation; those of generation N are in SecretAuthorities-N. Each is
	// created once, is immutable, and is mounted nowhere.
	SecretAuthorities = "control-plane-authorities"
	// SecretEncryption holds the key of Secrets at rest (pki.FileEncryptionKeys).
	// It is created once and immutable; what it encrypted is lost with it.
	SecretEncryption = "control-plane-encryption"
	// SecretPKI holds the files that the control plane process reads.
	SecretPKI = "control-plane-pki"
)

// Authorities returns the Secret of a generation of the tenant's certificate authorities.
func (s Spec) Authorities(generation int32, data map[string][]byte) *corev1.Secret {
	name := SecretAuthorities
	if generation > 1 {
		name += "-" + strconv.Itoa(int(generation))
	}
	secret := s.secret(name, data)
	secret.Immutable = ptr.To(true)
	return secret
}

// AuthoritiesGeneration returns which generation's Secret bears the name, and
// false for a name that Authorities gives to none.
func AuthoritiesGeneration(name string) (int32, bool) {
	if name == SecretAuthorities {
		return 1, true
	}
	number, ok := strings.CutPrefix(name, SecretAuthorities+"-")
	generation, err := strconv.ParseInt(number, 10, 32)
	if !ok || err != nil || generation < 2 || strconv.FormatInt(generation, 10) != number {
		return 0, false
	}
	return int32(generation), true
}

// Encryption returns the Secret of the key by which the control plane encrypts Secrets.
func (s Spec) Encryption(data map[string][]byte) *corev1.Secret {
	secret := s.secret(SecretEncryption, data)
	secret.Immutable = ptr.To(true)
	return secret
}

// PKI returns the Secret that is mounted into the control plane.
func (s Spec) PKI(files map[string][]byte) *corev1.Secret {
	return s.secret(SecretPKI, files)
}

// SyncerKubeconfig returns the Secret through which the syncer reaches the tenant.
func (s Spec) SyncerKubeconfig(kubeconfig []byte) *corev1.Secret {
	return s.secret(tenancyv1alpha1.SecretSyncerKubeconfig, map[string][]byte{tenancyv1alpha1.KeyKubeconfig: kubeconfig})
}

// AgentKubeconfig returns the Secret through which vn-agent reaches the tenant,
// with the authorities (PEM certificates) by which vn-agent knows its API server.
func (s Spec) AgentKubeconfig(kubeconfig, kubeletClientCA []byte) *corev1.Secret {
	return s.secret(tenancyv1alpha1.SecretAgentKubeconfig, map[string][]byte{
		tenancyv1alpha1.KeyKubeconfig:      kubeconfig,
		tenancyv1alpha1.KeyKubeletClientCA: kubeletClientCA,
	})
}

// UserKubeconfig returns the Secret of the tenant administrator's kubeconfig,
// which lies beside the VirtualCluster and is owned by it.
func (s Spec) UserKubeconfig(kubeconfig []byte) *corev1.Secret {
	secret := s.secret(UserKubeconfigName(s.VirtualCluster.Name), map[string][]byte{tenancyv1alpha1.KeyKubeconfig: kubeconfig})
	secret.Namespace = s.VirtualCluster.Namespace
	secret.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: tenancyv1alpha1.GroupVersion.String(), Kind: "VirtualCluster",
		Name: s.VirtualCluster.Name, UID: s.TenantID, Controller: ptr.To(true),
	}}
	return secret
}

// UserKubeconfigName returns the name of the Secret of UserKubeconfig.
func UserKubeconfigName(virtualCluster string) string {
	return virtualCluster + tenancyv1alpha1.KubeconfigSecretSuffix
}

func (s Spec) secret(name string, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: s.meta(name),
		Type:       corev1.SecretTypeOpaque,
		Data:       data,
	}
}

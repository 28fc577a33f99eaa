// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Pod Security Admission of the control plane's namespace. The control plane
// needs no privilege, so the strictest level holds there.
const (
	labelPodSecurityEnforce = "pod-security.kubernetes.io/enforce"
	podSecurityRestricted   = "restricted"
)

// AnnotationRetention on the control plane's namespace says that its volume
// claims stay when the virtual cluster is deleted (spec.controlPlane.storage.retention).
const AnnotationRetention = tenancyv1alpha1.LabelPrefix + "volume-retention"

// Namespace returns the namespace of the control plane. It holds the tenant's
// database and keys and nothing else; deleting it deletes the control plane.
func (s Spec) Namespace() *corev1.Namespace {
	labels := s.Labels()
	labels[labelPodSecurityEnforce] = podSecurityRestricted
	if s.ExternalClusterID != "" {
		labels[tenancyv1alpha1.LabelExternalCluster] = s.ExternalClusterID
	}
	annotations := s.annotations(nil)
	if retention := s.ControlPlane.Storage.Retention; retention == tenancyv1alpha1.RetentionRetain && s.ExternalClusterID == "" {
		annotations[AnnotationRetention] = string(retention)
	}
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: s.NamespaceName(), Labels: labels, Annotations: annotations},
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// +kubebuilder:rbac:groups="",resources=services;configmaps,verbs=list;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,verbs=list;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=list;delete

// retains reports whether the volume claims stay when the virtual cluster goes.
// The namespace remembers it: a deletion needs no class.
func retains(namespace *corev1.Namespace) bool {
	return namespace.Annotations[component.AnnotationRetention] == string(tenancyv1alpha1.RetentionRetain)
}

// kindsBesideVolumes are what a control plane's namespace may hold of ours
// beside StatefulSet, pods and volume claims.
func kindsBesideVolumes() []schema.GroupVersionKind {
	return []schema.GroupVersionKind{
		corev1.SchemeGroupVersion.WithKind("Secret"),
		corev1.SchemeGroupVersion.WithKind("Service"),
		corev1.SchemeGroupVersion.WithKind("ConfigMap"),
		networkingv1.SchemeGroupVersion.WithKind("NetworkPolicy"),
		policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget"),
	}
}

// removeBesideVolumes deletes everything of ours in the namespace but the
// volume claims and the key of the Secrets in them. The credentials go first:
// a database that is kept must not be one that somebody can still log in to.
func (r *Reconciler) removeBesideVolumes(ctx context.Context, s *scope) (gone bool, err error) {
	gone = true
	for _, kind := range kindsBesideVolumes() {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind)
		err := r.APIReader.List(ctx, list, client.InNamespace(s.spec.NamespaceName()), client.MatchingLabels(s.spec.Labels()))
		if err != nil {
			return false, fmt.Errorf("listing objects of kind %s: %w", kind.Kind, err)
		}
		for i := range list.Items {
			object := &list.Items[i]
			if kind.Kind == "Secret" && object.Name == component.SecretEncryption {
				continue
			}
			gone = false
			object.SetGroupVersionKind(kind)
			if err := r.delete(ctx, object); err != nil {
				return false, err
			}
		}
	}
	return gone, nil
}

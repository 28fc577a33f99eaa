// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package identity stamps the super cluster's objects with whose they are, and
// reads the stamp back.
//
// The stamp is the only thing that says whose a super object is. Whoever
// builds a super object stamps it last, so that nothing copied from a tenant
// can forge it; whoever changes or deletes one reads the stamp first and
// leaves alone what is not this tenant's.
//
// Functions are pure and safe for concurrent use on different objects.
package identity

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// Owner says which tenant object a super object stands for.
type Owner struct {
	// TenantID is the UID of the VirtualCluster.
	TenantID string
	// Namespace and Name are the tenant object's. Namespace is empty for a
	// cluster-scoped object.
	Namespace, Name string
	// UID is the tenant object's.
	UID types.UID
}

// Stamp writes owner on superObject, over whatever stood there, and removes
// every other key of the platform's domain, which only a tenant can have put
// there. virtualCluster (namespace/name) is added for people.
func Stamp(superObject metav1.Object, owner Owner, virtualCluster types.NamespacedName) {
	objectLabels, annotations := superObject.GetLabels(), superObject.GetAnnotations()
	dropOwnKeys(objectLabels)
	dropOwnKeys(annotations)
	if objectLabels == nil {
		objectLabels = map[string]string{}
	}
	if annotations == nil {
		annotations = map[string]string{}
	}
	objectLabels[tenancyv1alpha1.LabelTenantID] = owner.TenantID
	objectLabels[tenancyv1alpha1.LabelManagedBy] = tenancyv1alpha1.ManagedBySyncer
	annotations[tenancyv1alpha1.AnnotationTenantNamespace] = owner.Namespace
	annotations[tenancyv1alpha1.AnnotationTenantName] = owner.Name
	annotations[tenancyv1alpha1.AnnotationTenantUID] = string(owner.UID)
	annotations[tenancyv1alpha1.AnnotationVirtualCluster] = virtualCluster.String()
	superObject.SetLabels(objectLabels)
	superObject.SetAnnotations(annotations)
}

// Of returns the owner that is stamped on superObject; ok is false where there
// is no complete stamp.
func Of(superObject metav1.Object) (owner Owner, ok bool) {
	objectLabels, annotations := superObject.GetLabels(), superObject.GetAnnotations()
	if objectLabels[tenancyv1alpha1.LabelManagedBy] != tenancyv1alpha1.ManagedBySyncer {
		return Owner{}, false
	}
	namespace, hasNamespace := annotations[tenancyv1alpha1.AnnotationTenantNamespace]
	owner = Owner{
		TenantID:  objectLabels[tenancyv1alpha1.LabelTenantID],
		Namespace: namespace,
		Name:      annotations[tenancyv1alpha1.AnnotationTenantName],
		UID:       types.UID(annotations[tenancyv1alpha1.AnnotationTenantUID]),
	}
	return owner, hasNamespace && owner.TenantID != "" && owner.Name != "" && owner.UID != ""
}

// Selector selects every object that the syncer stamped, of all tenants.
func Selector() labels.Selector {
	return labels.SelectorFromSet(labels.Set{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedBySyncer})
}

// TenantSelector selects every object that the syncer stamped for one tenant.
func TenantSelector(tenantID string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{
		tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedBySyncer,
		tenancyv1alpha1.LabelTenantID:  tenantID,
	})
}

func dropOwnKeys(m map[string]string) {
	for key := range m {
		if IsReservedKey(key) {
			delete(m, key)
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	storagev1 "k8s.io/api/storage/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// defaultStorageClass marks the class of claims that name none.
const defaultStorageClass = "storageclass.kubernetes.io/is-default-class"

// storageClass shows a tenant how volumes of a class behave, and not where they
// come from: provisioner, parameters, mount options and topology name drivers,
// servers, Secrets and nodes of the platform.
func storageClass() kind.Upward[*storagev1.StorageClass] {
	return kind.Upward[*storagev1.StorageClass]{
		Object: &storagev1.StorageClass{},
		Visible: func(facts kind.Facts, super *storagev1.StorageClass) bool {
			return policy.Shares(facts.Sharing.StorageClasses, super.Labels)
		},
		Up: func(_ kind.Env, super *storagev1.StorageClass, _ kind.Subject, tenant *storagev1.StorageClass) error {
			tenant.Provisioner = tenancyv1alpha1.SharedDriver
			tenant.Parameters, tenant.MountOptions, tenant.AllowedTopologies = nil, nil, nil
			tenant.ReclaimPolicy, tenant.VolumeBindingMode = super.ReclaimPolicy, super.VolumeBindingMode
			tenant.AllowVolumeExpansion = super.AllowVolumeExpansion
			tenant.Annotations = showKey(tenant.Annotations, super.Annotations, defaultStorageClass)
			return nil
		},
	}
}

// showKey gives a tenant's labels or annotations the value that one key has in
// the super cluster, or none.
func showKey(tenant, super map[string]string, key string) map[string]string {
	value, ok := super[key]
	if !ok {
		delete(tenant, key)
		return tenant
	}
	return withLabel(tenant, key, value)
}

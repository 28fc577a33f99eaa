// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// attach describes the pod's Secret: what rewriteVolumes made the super pod
// mount. It returns nil for a pod that needs none.
func attach(_ context.Context, _ kind.Env, tenant, _ *corev1.Pod) (*kind.Attachment, error) {
	attachment := &kind.Attachment{
		Name:   names.PodSecret(string(tenant.UID)),
		Data:   map[string][]byte{},
		Tokens: map[string]kind.Token{},
	}
	for v := range tenant.Spec.Volumes {
		volume := &tenant.Spec.Volumes[v]
		if volume.DownwardAPI != nil {
			addFields(attachment, tenant, v, 0, volume.DownwardAPI.Items)
		}
		if volume.Projected == nil {
			continue
		}
		for s := range volume.Projected.Sources {
			source := &volume.Projected.Sources[s]
			if source.DownwardAPI != nil {
				addFields(attachment, tenant, v, s, source.DownwardAPI.Items)
			}
			if source.ServiceAccountToken != nil {
				attachment.Tokens[entryKey(v, s, 0)] = kind.Token{
					Namespace: tenant.Namespace, ServiceAccount: serviceAccount(tenant),
					Audience: source.ServiceAccountToken.Audience, ExpirationSeconds: source.ServiceAccountToken.ExpirationSeconds,
					Pod: tenant.Name, PodUID: tenant.UID,
				}
			}
		}
	}
	if len(attachment.Data) == 0 && len(attachment.Tokens) == 0 {
		return nil, nil
	}
	return attachment, nil
}

func addFields(attachment *kind.Attachment, tenant *corev1.Pod, volume, source int, items []corev1.DownwardAPIVolumeFile) {
	for n, item := range items {
		if item.FieldRef == nil {
			continue
		}
		value, _ := metadataValue(tenant, item.FieldRef.FieldPath)
		attachment.Data[entryKey(volume, source, n)] = []byte(value)
	}
}

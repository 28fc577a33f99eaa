// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// rewriteVolumes maps references and replaces every source whose content is
// the tenant's to say, tokens and the downward API, by the pod's Secret.
func rewriteVolumes(ctx context.Context, b *build) error {
	for i := range b.spec.Volumes {
		if err := b.rewriteVolume(ctx, i); err != nil {
			return err
		}
	}
	for i, reference := range b.spec.ImagePullSecrets {
		if err := checkReserved(reference.Name, fmt.Sprintf("spec.imagePullSecrets[%d].name", i)); err != nil {
			return err
		}
	}
	return nil
}

func (b *build) rewriteVolume(ctx context.Context, i int) error {
	volume, given := &b.spec.Volumes[i], &b.tenant.Spec.Volumes[i]
	path := fmt.Sprintf("spec.volumes[%d]", i)
	switch {
	case volume.ConfigMap != nil:
		return mapConfigMap(&volume.ConfigMap.Name, path+".configMap.name")
	case volume.Secret != nil:
		return checkReserved(volume.Secret.SecretName, path+".secret.secretName")
	case volume.PersistentVolumeClaim != nil:
		// The claim goes down by itself, under its own name; until it has, the
		// super cluster's scheduler says what is missing.
		return checkReserved(volume.PersistentVolumeClaim.ClaimName, path+".persistentVolumeClaim.claimName")
	case given.Ephemeral != nil:
		return b.claimEphemeral(ctx, volume, path)
	case given.DownwardAPI != nil:
		volume.Projected = &corev1.ProjectedVolumeSource{
			DefaultMode: given.DownwardAPI.DefaultMode,
			Sources:     b.downwardSources(i, 0, given.DownwardAPI.Items),
		}
	case volume.Projected != nil:
		return b.rewriteProjected(i, path+".projected.sources")
	}
	return nil
}

// claimEphemeral makes a volume of its pod's own an ordinary claim in super.
// The claim is made by the tenant's controller manager and owned by the tenant's
// pod; one of that name that is not would hand the pod another's data, as in
// Kubernetes itself, which checks the same.
func (b *build) claimEphemeral(ctx context.Context, volume *corev1.Volume, path string) error {
	name := b.tenant.Name + "-" + volume.Name
	if err := checkReserved(name, path+".name"); err != nil {
		return err
	}
	var claim corev1.PersistentVolumeClaim
	if err := b.tenantGet(ctx, name, &claim); err != nil {
		return err
	}
	if claim.Name == "" {
		return kind.Wait("persistent volume claim %s", name)
	}
	if !metav1.IsControlledBy(&claim, b.tenant) {
		return kind.Wait("persistent volume claim %s to be the pod's own: another object has one of that name", name)
	}
	volume.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}
	return nil
}

// rewriteProjected rebuilds the sources in their order.
func (b *build) rewriteProjected(i int, path string) error {
	copied, given := b.spec.Volumes[i].Projected, b.tenant.Spec.Volumes[i].Projected
	var sources []corev1.VolumeProjection
	for s := range given.Sources {
		source := &copied.Sources[s]
		switch {
		case source.ConfigMap != nil:
			if err := mapConfigMap(&source.ConfigMap.Name, fmt.Sprintf("%s[%d].configMap.name", path, s)); err != nil {
				return err
			}
			sources = append(sources, *source)
		case source.Secret != nil:
			if err := checkReserved(source.Secret.Name, fmt.Sprintf("%s[%d].secret.name", path, s)); err != nil {
				return err
			}
			sources = append(sources, *source)
		case given.Sources[s].ServiceAccountToken != nil:
			token := given.Sources[s].ServiceAccountToken
			sources = append(sources, b.fromSecret([]corev1.KeyToPath{{Key: entryKey(i, s, 0), Path: token.Path}}))
		case given.Sources[s].DownwardAPI != nil:
			sources = append(sources, b.downwardSources(i, s, given.Sources[s].DownwardAPI.Items)...)
		}
	}
	copied.Sources = sources
	return nil
}

// downwardSources splits downward API items: fields come from the pod's
// Secret, resources of containers are the same on both sides.
func (b *build) downwardSources(volume, source int, items []corev1.DownwardAPIVolumeFile) []corev1.VolumeProjection {
	var fields []corev1.KeyToPath
	var resources []corev1.DownwardAPIVolumeFile
	for n, item := range items {
		if item.FieldRef != nil {
			fields = append(fields, corev1.KeyToPath{Key: entryKey(volume, source, n), Path: item.Path, Mode: item.Mode})
			continue
		}
		resources = append(resources, *item.DeepCopy())
	}
	var out []corev1.VolumeProjection
	if len(fields) > 0 {
		out = append(out, b.fromSecret(fields))
	}
	if len(resources) > 0 {
		out = append(out, corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: resources}})
	}
	return out
}

// fromSecret projects entries of the pod's Secret. The kubelet waits for it.
func (b *build) fromSecret(items []corev1.KeyToPath) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: names.PodSecret(string(b.tenant.UID))},
		Items:                items,
	}}
}

// entryKey names an entry of the pod's Secret by where it is used. Volumes of
// a pod never change, so neither do the keys.
func entryKey(volume, source, item int) string {
	return fmt.Sprintf("volume-%d-source-%d-item-%d", volume, source, item)
}

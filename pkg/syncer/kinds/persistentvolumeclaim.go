// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// Annotations by which the controller that binds says that it has done so.
const (
	bindCompleted     = "pv.kubernetes.io/bind-completed"
	boundByController = "pv.kubernetes.io/bound-by-controller"
)

// persistentVolumeClaim asks the super cluster for a new volume of a class that
// is shared. No label or annotation crosses: provisioners take paths, names of
// Secrets and the class itself from them.
func persistentVolumeClaim() kind.Downward[*corev1.PersistentVolumeClaim] {
	rules := policy.ClaimFields()
	return kind.Downward[*corev1.PersistentVolumeClaim]{
		Object:       &corev1.PersistentVolumeClaim{},
		HideMetadata: true,
		UsesFacts:    true,
		Triggers:     []kind.Trigger{{From: &storagev1.StorageClass{}}},
		Down: func(ctx context.Context, env kind.Env, tenant, super *corev1.PersistentVolumeClaim) error {
			spec, err := filter(env, rules, &tenant.Spec)
			if err != nil {
				return err
			}
			if bound := tenant.Spec.VolumeName; bound != "" && bound != super.Spec.VolumeName {
				return kind.Reject("spec.volumeName", "the platform has bound no volume %s to this claim; create it again without volumeName, it gets a new volume", bound)
			}
			if super.UID != "" {
				super.Spec.Resources.Requests = spec.Resources.Requests // all else never changes
				return nil
			}
			super.Spec = *spec
			return checkClaim(ctx, env, spec)
		},
		Up: claimUp,
	}
}

// checkClaim refuses what no new claim may ask for.
func checkClaim(ctx context.Context, env kind.Env, spec *corev1.PersistentVolumeClaimSpec) error {
	if spec.VolumeMode != nil && *spec.VolumeMode != corev1.PersistentVolumeFilesystem {
		return kind.Reject("spec.volumeMode", "raw devices are not supported; use Filesystem")
	}
	if source := spec.DataSource; source != nil && !isCopyable(source.APIGroup, source.Kind) {
		return kind.Reject("spec.dataSource", "a volume is filled from a PersistentVolumeClaim or a VolumeSnapshot only; remove it")
	}
	if source := spec.DataSourceRef; source != nil && !isCopyable(source.APIGroup, source.Kind) {
		return kind.Reject("spec.dataSourceRef", "a volume is filled from a PersistentVolumeClaim or a VolumeSnapshot only; remove it")
	}
	const field = "spec.storageClassName"
	if spec.StorageClassName == nil {
		return kind.Reject(field, "there is no default StorageClass; create the claim again with one of `kubectl get storageclasses`")
	}
	name := *spec.StorageClassName
	if name == "" {
		return kind.Reject(field, "volumes without a class belong to the platform; create the claim again with one of `kubectl get storageclasses`")
	}
	err := env.Super.Get(ctx, types.NamespacedName{Name: name}, &storagev1.StorageClass{})
	if apierrors.IsNotFound(err) {
		return kind.Reject(field, "StorageClass %s is not shared with this cluster; create the claim again with one of `kubectl get storageclasses` that the platform manages", name)
	}
	if err != nil {
		return fmt.Errorf("reading the super storage class: %w", err)
	}
	return nil
}

// isCopyable reports the kinds that volumes are filled from. Both are the
// tenant's own in the super cluster: they lie in the claim's namespace there.
func isCopyable(group *string, kindName string) bool {
	switch kindName {
	case "PersistentVolumeClaim":
		return ptr.Deref(group, "") == ""
	case "VolumeSnapshot":
		return ptr.Deref(group, "") == "snapshot.storage.k8s.io"
	default:
		return false
	}
}

// claimUp shows how the claim fares, as the controller that binds would.
func claimUp(_ context.Context, _ kind.Env, super, tenant *corev1.PersistentVolumeClaim) error {
	if tenant.Spec.VolumeName == "" && super.Status.Phase == corev1.ClaimBound {
		tenant.Spec.VolumeName = super.Spec.VolumeName
		tenant.Annotations = withLabel(tenant.Annotations, bindCompleted, "yes")
		tenant.Annotations = withLabel(tenant.Annotations, boundByController, "yes")
	}
	status := super.Status.DeepCopy()
	tenant.Status = corev1.PersistentVolumeClaimStatus{
		Phase: status.Phase, AccessModes: status.AccessModes, Capacity: status.Capacity, Conditions: status.Conditions,
		AllocatedResources: status.AllocatedResources, AllocatedResourceStatuses: status.AllocatedResourceStatuses,
	}
	for i := range tenant.Status.Conditions {
		if condition := &tenant.Status.Conditions[i]; strings.HasSuffix(string(condition.Type), "Error") {
			condition.Message = "the platform's storage reports an error" // drivers name servers and volumes in theirs
		}
	}
	return nil
}

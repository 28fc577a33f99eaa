// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// effectiveControlPlane returns what the class says about control planes with
// what the virtual cluster says instead. It blocks on what the class forbids.
func effectiveControlPlane(class *tenancyv1alpha1.VirtualClusterClass, own *tenancyv1alpha1.VirtualClusterControlPlane) (tenancyv1alpha1.ClassControlPlane, error) {
	out := *class.Spec.ControlPlane.DeepCopy()
	if own == nil {
		return out, nil
	}
	if own.Replicas != nil {
		out.Replicas = *own.Replicas
	}
	if own.Resources != nil {
		out.Resources = *own.Resources.DeepCopy()
	}
	if own.Storage != nil && own.Storage.StorageClassName != "" {
		out.Storage.StorageClassName = own.Storage.StorageClassName
	}
	if own.Storage != nil && own.Storage.Size != nil {
		out.Storage.Size = own.Storage.Size.DeepCopy()
	}
	if own.Expose != nil {
		allowed := allowedExposures(out.Exposure)
		if !slices.Contains(allowed, string(own.Expose.Type)) {
			return out, &blocked{reason: tenancyv1alpha1.ReasonExposureNotAllowed, message: fmt.Sprintf(
				"spec.controlPlane.expose.type: class %q does not allow %q: set one of %s",
				class.Name, own.Expose.Type, strings.Join(allowed, ", "))}
		}
		out.Exposure.Type = own.Expose.Type
	}
	return out, nil
}

func allowedExposures(exposure tenancyv1alpha1.ClassExposure) []string {
	allowed := []string{string(exposure.Type)}
	for _, exposureType := range exposure.Allowed {
		if !slices.Contains(allowed, string(exposureType)) {
			allowed = append(allowed, string(exposureType))
		}
	}
	return allowed
}

// effectiveQuota returns the quota in force: of each resource what the virtual
// cluster asks for, or else the class's default, or else the most that the class
// allows. It blocks on one above that, and returns the most that there may be.
func effectiveQuota(class *tenancyv1alpha1.VirtualClusterClass, own corev1.ResourceList) (corev1.ResourceList, error) {
	limits := class.Spec.Quota
	quota := corev1.ResourceList{}
	for _, amounts := range []corev1.ResourceList{limits.Max, limits.Default, own} {
		maps.Copy(quota, amounts)
	}
	var above []string
	for _, name := range slices.Sorted(maps.Keys(limits.Max)) {
		asked, most := quota[name], limits.Max[name]
		if asked.Cmp(most) > 0 {
			quota[name] = most
			above = append(above, fmt.Sprintf("%s %s (at most %s)", name, asked.String(), most.String()))
		}
	}
	if len(quota) == 0 {
		return nil, nil
	}
	quota = quota.DeepCopy()
	if len(above) > 0 {
		return quota, &blocked{reason: tenancyv1alpha1.ReasonQuotaExceedsMaximum, message: fmt.Sprintf(
			"spec.quota asks for more than class %q allows: %s: ask for less, or raise spec.quota.max of the class",
			class.Name, strings.Join(above, ", "))}
	}
	return quota, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// resolveClass finds the class and the version. A class that appears or
// changes wakes the virtual clusters that name it.
func (r *Reconciler) resolveClass(ctx context.Context, s *scope) error {
	name := s.virtualCluster.Spec.ClassName
	class := &tenancyv1alpha1.VirtualClusterClass{}
	if err := r.Client.Get(ctx, types.NamespacedName{Name: name}, class); err != nil {
		if apierrors.IsNotFound(err) {
			return &blocked{reason: tenancyv1alpha1.ReasonClassNotFound, message: fmt.Sprintf(
				"spec.className: there is no VirtualClusterClass %q: create it, or create a virtual cluster of another class", name)}
		}
		return fmt.Errorf("getting class %q: %w", name, err)
	}
	version, err := resolveVersion(class, s.virtualCluster.Spec.Version, s.status.Version)
	if err != nil {
		return err
	}
	controlPlane, err := effectiveControlPlane(class, s.virtualCluster.Spec.ControlPlane)
	if err != nil {
		return err
	}
	quota, err := effectiveQuota(class, s.virtualCluster.Spec.Quota)
	if err != nil {
		return err
	}
	s.class, s.spec.Version, s.spec.ControlPlane, s.status.Quota = class, version, controlPlane, quota
	return nil
}

// resolveVersion returns the version that is asked for. Who asks for none gets
// the default, once: a class whose default moves on does not upgrade anybody
// as long as it still offers what is running.
func resolveVersion(class *tenancyv1alpha1.VirtualClusterClass, asked, running string) (tenancyv1alpha1.ClassVersion, error) {
	offered := map[string]tenancyv1alpha1.ClassVersion{}
	var listed []string
	var fallback tenancyv1alpha1.ClassVersion
	for _, version := range class.Spec.Versions {
		offered[version.Name] = version
		listed = append(listed, version.Name)
		if version.Default {
			fallback = version
		}
	}
	if asked == "" {
		asked = fallback.Name
		if _, ok := offered[running]; ok {
			asked = running
		}
	}
	version, ok := offered[asked]
	if !ok {
		return version, &blocked{reason: tenancyv1alpha1.ReasonVersionNotOffered, message: fmt.Sprintf(
			"spec.version: class %q does not offer %q: set one of %s, or leave it empty for the default",
			class.Name, asked, strings.Join(listed, ", "))}
	}
	return version, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// resolveClass finds the class. One that appears or changes wakes the virtual
// clusters that name it.
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
	if err := refusedBy(class, s); err != nil {
		return err
	}
	controlPlane, err := effectiveControlPlane(class, s.virtualCluster.Spec.ControlPlane)
	if err != nil {
		return err
	}
	quota, err := effectiveQuota(class, s.virtualCluster.Spec.Quota)
	var above *blocked
	switch {
	case errors.As(err, &above) && s.status.Network != nil:
		// One that is there goes on, held to the most that there may be: the class
		// may have been changed, and certificates are renewed all the same.
		s.differ(above.reason, above.message+"; until then the class's maximum is in force")
	case err != nil:
		return err
	}
	s.class, s.spec.ControlPlane, s.status.Quota = class, controlPlane, quota
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"fmt"
	"net/netip"

	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// factsOf gathers a tenant's facts from its VirtualCluster and its class.
func factsOf(ctx context.Context, metaReader client.Reader, vc *tenancyv1alpha1.VirtualCluster) (Facts, error) {
	if vc.Status.Network == nil {
		return Facts{}, fmt.Errorf("virtual cluster %s has no slice of the service range yet", vc.Name)
	}
	prefix, err := netip.ParsePrefix(vc.Status.Network.ServiceCIDR)
	if err != nil {
		return Facts{}, fmt.Errorf("parsing status.network.serviceCIDR: %w", err)
	}
	var class tenancyv1alpha1.VirtualClusterClass
	if err := metaReader.Get(ctx, client.ObjectKey{Name: vc.Spec.ClassName}, &class); err != nil {
		return Facts{}, fmt.Errorf("getting class: %w", err)
	}
	return Facts{
		ServiceCIDR:           prefix.Masked(),
		ControlPlaneAddresses: vc.Status.ControlPlane.Addresses,
		Sandbox:               class.Spec.Sandbox,
		Sharing:               class.Spec.Sharing,
		Syncing:               class.Spec.Syncing,
		Quota:                 vc.Status.Quota,
	}, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"net/netip"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
)

// adoptNetwork takes the service range that an external cluster has, if it is
// one that could have been given to it, and stores it as allocateNetwork does:
// under the lock, before anything uses it.
func (r *Reconciler) adoptNetwork(ctx context.Context, s *scope) error {
	network := s.class.Spec.Network
	pool, err := netip.ParsePrefix(network.ServiceCIDR)
	if err != nil {
		return fmt.Errorf("parsing spec.network.serviceCIDR of class %q: %w", s.class.Name, err)
	}
	slice, why := suitableRange(s.visit.facts, pool, int(network.ServiceSliceBits))
	if why != "" {
		return &blocked{reason: tenancyv1alpha1.ReasonServiceRangeUnsuitable, message: why, after: retryExternalMax}
	}
	if held := s.status.Network; held != nil {
		if held.ServiceCIDR != slice.String() {
			return &blocked{reason: tenancyv1alpha1.ReasonServiceRangeUnsuitable, message: fmt.Sprintf(
				"the external cluster's service range is %s and was %s: it cannot change; create another VirtualCluster", slice, held.ServiceCIDR), after: retryExternalMax}
		}
		s.spec.ServiceCIDR = held.ServiceCIDR
		return nil
	}
	r.allocation.Lock()
	defer r.allocation.Unlock()
	var all tenancyv1alpha1.VirtualClusterList
	if err := r.APIReader.List(ctx, &all); err != nil {
		return fmt.Errorf("listing virtual clusters: %w", err)
	}
	taken, err := takenSlices(all.Items)
	if err != nil {
		return err
	}
	if other, found := overlapping(slice, taken); found {
		return &blocked{reason: tenancyv1alpha1.ReasonServiceRangeUnsuitable, message: fmt.Sprintf(
			"the external cluster's service range %s overlaps %s, which another virtual cluster holds (or is it that very cluster?): use a cluster with another range",
			slice, other), after: retryExternalMax}
	}
	s.status.Network = &tenancyv1alpha1.NetworkStatus{ServiceCIDR: slice.String()}
	s.spec.ServiceCIDR = slice.String()
	return r.applyStatus(ctx, s)
}

// suitableRange returns the range of a cluster, or why it cannot be a slice of
// pool. The size is bounded as for every other tenant: a cluster can say of
// itself what it likes, and must not take the pool from the others.
func suitableRange(facts *external.Facts, pool netip.Prefix, bits int) (slice netip.Prefix, why string) {
	const remedy = "use a class whose network fits that cluster, or a cluster made with another service range"
	switch len(facts.ServiceCIDRs) {
	case 0:
		// No API tells the range's length. What the class would have given, if
		// the cluster's first address is that of such a range.
		slice = netip.PrefixFrom(facts.ServiceIP, min(bits, facts.ServiceIP.BitLen())).Masked()
		if facts.ServiceIP != slice.Addr().Next() {
			return slice, fmt.Sprintf("the external cluster does not tell its service range (ServiceCIDR), and %s is not the first address of a /%d: %s",
				facts.ServiceIP, bits, remedy)
		}
	case 1:
		slice = facts.ServiceCIDRs[0]
	default:
		return slice, "the external cluster has service ranges of two IP families: one of IPv4 alone can be a tenant's"
	}
	pool = pool.Masked()
	if !slice.Addr().Is4() || slice.Bits() < pool.Bits() || !pool.Contains(slice.Addr()) {
		return slice, fmt.Sprintf("the external cluster's service range %s does not lie within the class's %s: %s", slice, pool, remedy)
	}
	if slice.Bits() < bits {
		return slice, fmt.Sprintf("the external cluster's service range %s is larger than a tenant's may be (/%d): %s", slice, bits, remedy)
	}
	return slice, ""
}

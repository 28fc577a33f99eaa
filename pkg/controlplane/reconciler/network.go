// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// retryExhausted is how often an exhausted range is looked at again: what
// frees a slice is the end of another virtual cluster, which does not wake this one.
const retryExhausted = 5 * time.Second

// allocateNetwork gives the tenant its slice of the class's service range and
// stores it before anything uses it. It holds a lock from the moment it reads
// what is taken to the moment the choice is stored, and reads live, so no two
// virtual clusters get the same. A slice is free again when its virtual
// cluster no longer exists.
func (r *Reconciler) allocateNetwork(ctx context.Context, s *scope) error {
	if s.status.Network == nil {
		if err := r.allocateSlice(ctx, s); err != nil {
			return err
		}
	}
	s.spec.ServiceCIDR = s.status.Network.ServiceCIDR
	return nil
}

func (r *Reconciler) allocateSlice(ctx context.Context, s *scope) error {
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
	network := s.class.Spec.Network
	pool, err := netip.ParsePrefix(network.ServiceCIDR)
	if err != nil {
		return fmt.Errorf("parsing spec.network.serviceCIDR of class %q: %w", s.class.Name, err)
	}
	slice, ok := lowestFree(pool, int(network.ServiceSliceBits), taken)
	if !ok {
		return &blocked{
			reason: tenancyv1alpha1.ReasonServiceRangeExhausted,
			message: fmt.Sprintf("spec.network of class %q: no /%d of %s is free: delete a virtual cluster, or use a class with another range",
				s.class.Name, network.ServiceSliceBits, pool),
			after: retryExhausted,
		}
	}
	s.status.Network = &tenancyv1alpha1.NetworkStatus{ServiceCIDR: slice.String()}
	return r.applyStatus(ctx, s)
}

// takenSlices returns the slices that exist, of all classes: their ranges may overlap.
func takenSlices(virtualClusters []tenancyv1alpha1.VirtualCluster) ([]netip.Prefix, error) {
	var taken []netip.Prefix
	for i := range virtualClusters {
		network := virtualClusters[i].Status.Network
		if network == nil {
			continue
		}
		slice, err := netip.ParsePrefix(network.ServiceCIDR)
		if err != nil {
			return nil, fmt.Errorf("parsing status.network.serviceCIDR of virtual cluster %s/%s: %w",
				virtualClusters[i].Namespace, virtualClusters[i].Name, err)
		}
		taken = append(taken, slice)
	}
	return taken, nil
}

// lowestFree returns the lowest prefix of the given length in pool that
// overlaps none that is taken. The first is as good as any other: only the
// super cluster's first range has an address with a meaning of its own, and
// pool is not that range.
func lowestFree(pool netip.Prefix, bits int, taken []netip.Prefix) (netip.Prefix, bool) {
	pool = pool.Masked()
	if bits < pool.Bits() || bits > pool.Addr().BitLen() {
		return netip.Prefix{}, false
	}
	candidate := netip.PrefixFrom(pool.Addr(), bits)
	for pool.Contains(candidate.Addr()) {
		clash, found := overlapping(candidate, taken)
		if !found {
			return candidate, true
		}
		// Go on behind whichever of the two ends later.
		if clash.Bits() > bits {
			clash = candidate
		}
		next := lastAddress(clash.Masked()).Next()
		if !next.IsValid() {
			break
		}
		candidate = netip.PrefixFrom(next, bits)
	}
	return netip.Prefix{}, false
}

func overlapping(candidate netip.Prefix, taken []netip.Prefix) (netip.Prefix, bool) {
	for _, slice := range taken {
		if candidate.Overlaps(slice) {
			return slice, true
		}
	}
	return netip.Prefix{}, false
}

// lastAddress returns the highest address of a prefix.
func lastAddress(prefix netip.Prefix) netip.Addr {
	address := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < len(address)*8; bit++ {
		address[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ := netip.AddrFromSlice(address)
	return last
}

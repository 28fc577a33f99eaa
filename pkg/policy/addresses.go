// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/binary"
	"net/netip"
)

// NthAddress returns the address n places after the first of an IPv4 range:
// the API server's Service is at 1, DNS at 10. It returns the zero Addr for a
// range that is not IPv4.
func NthAddress(prefix netip.Prefix, n uint32) netip.Addr {
	if !prefix.IsValid() || !prefix.Addr().Is4() {
		return netip.Addr{}
	}
	base := prefix.Masked().Addr().As4()
	var out [4]byte
	binary.BigEndian.PutUint32(out[:], binary.BigEndian.Uint32(base[:])+n)
	return netip.AddrFrom4(out)
}

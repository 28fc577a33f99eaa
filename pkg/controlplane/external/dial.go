// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// dialTimeout bounds one TCP connection.
const dialTimeout = 3 * time.Second

// DialFunc opens a connection. It must keep to the context.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// errForbidden is returned for an address that no API server of a tenant has.
var errForbidden = errors.New("the address is the machine's own, link-local, or a cloud's metadata service")

// Dialer connects to addresses that are not forbidden. It looks at what a
// name was resolved to, so a name that means another address the next time
// gains nothing.
func Dialer() DialFunc {
	return (&net.Dialer{
		Timeout: dialTimeout,
		Control: func(_, address string, _ syscall.RawConn) error {
			addressPort, err := netip.ParseAddrPort(address)
			if err != nil || Forbidden(addressPort.Addr()) {
				return errForbidden
			}
			return nil
		},
	}).DialContext
}

// Forbidden reports whether vc-manager refuses to dial an address because a
// user wrote it: loopback and link-local, which lead to this machine and to
// most clouds' metadata service, and where the others have theirs.
func Forbidden(address netip.Addr) bool {
	address = address.Unmap().WithZone("")
	return address.IsLoopback() || address.IsUnspecified() || address.IsMulticast() ||
		address.IsLinkLocalUnicast() || address == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		slices.Contains(metadataServices(), address)
}

// metadataServices are addresses of clouds' metadata services that are not link-local.
func metadataServices() []netip.Addr {
	return []netip.Addr{
		netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
		netip.MustParseAddr("168.63.129.16"),   // Azure
		netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
		netip.MustParseAddr("fd00:ec2::254"),   // AWS
		netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
	}
}

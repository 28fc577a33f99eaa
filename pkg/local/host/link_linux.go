// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package host

import (
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
)

// Link is a veth pair between the machine and a network namespace.
type Link struct {
	// Name of the machine's end, at most 15 characters. The inner end is called eth0.
	Name string
	// Host and Node are the addresses of the two ends.
	Host, Node netip.Addr
	// Bits is the length of their common prefix.
	Bits int
}

// innerName is what a link's end inside is called.
const innerName = "eth0"

// Create makes the pair, gives both ends their addresses and makes the
// machine's end the default route of the namespace, which may forward.
func (l Link) Create(namespaces Namespaces) error {
	inner, err := os.Open(namespaces.NetFile())
	if err != nil {
		return fmt.Errorf("opening the network namespace: %w", err)
	}
	defer inner.Close()
	attributes := netlink.NewLinkAttrs()
	attributes.Name = l.Name
	pair := &netlink.Veth{LinkAttrs: attributes, PeerName: innerName, PeerNamespace: netlink.NsFd(inner.Fd())}
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("making the veth pair %s: %w", l.Name, err)
	}
	if err := raise(l.Name, netip.PrefixFrom(l.Host, l.Bits)); err != nil {
		return err
	}
	return namespaces.Run(l.raiseInside)
}

func (l Link) raiseInside() error {
	if err := raise("lo", netip.Prefix{}); err != nil {
		return err
	}
	if err := raise(innerName, netip.PrefixFrom(l.Node, l.Bits)); err != nil {
		return err
	}
	if err := netlink.RouteAdd(&netlink.Route{Gw: l.Host.AsSlice()}); err != nil {
		return fmt.Errorf("adding the default route inside: %w", err)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

func raise(name string, prefix netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("looking up interface %s: %w", name, err)
	}
	if prefix.IsValid() {
		address, err := netlink.ParseAddr(prefix.String())
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, address); err != nil {
			return fmt.Errorf("giving %s the address %s: %w", name, prefix, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("raising interface %s: %w", name, err)
	}
	return nil
}

// Exists reports whether the machine's end is there.
func (l Link) Exists() bool {
	_, err := netlink.LinkByName(l.Name)
	return err == nil
}

// Remove removes the pair. It is idempotent.
func (l Link) Remove() error {
	link, err := netlink.LinkByName(l.Name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking up interface %s: %w", l.Name, err)
	}
	if err := netlink.LinkDel(link); err != nil {
		return fmt.Errorf("removing interface %s: %w", l.Name, err)
	}
	return nil
}

// UsedPrefixes returns every IPv4 network that the machine has an address in or
// a route of its own to; the default route does not count.
func UsedPrefixes() ([]netip.Prefix, error) {
	var used []netip.Prefix
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("reading the machine's addresses: %w", err)
	}
	for _, address := range addresses {
		used = appendPrefix(used, address.IPNet.String())
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("reading the machine's routes: %w", err)
	}
	for _, route := range routes {
		if route.Dst != nil {
			used = appendPrefix(used, route.Dst.String())
		}
	}
	return used, nil
}

func appendPrefix(prefixes []netip.Prefix, text string) []netip.Prefix {
	prefix, err := netip.ParsePrefix(text)
	if err != nil || prefix.Bits() == 0 {
		return prefixes
	}
	return append(prefixes, prefix.Masked())
}

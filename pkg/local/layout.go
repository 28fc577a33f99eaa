// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"path/filepath"

	"virtualcluster.io/virtualcluster/pkg/local/host"
)

// What every local cluster has in common.
const (
	// NodeName is the name of the only node.
	NodeName = "super-0"
	// inside is where the cluster's folder appears in its mount namespace.
	inside = "/run/vc"
	// clusterDomain is the DNS domain of Services.
	clusterDomain = "cluster.local"
	// serviceCIDR holds the super cluster's own Services, podCIDR the pods.
	serviceCIDR = "10.96.0.0/16"
	podCIDR     = "10.244.0.0/16"
	// kubernetesIP and dnsIP are the Services of the API and of DNS.
	kubernetesIP = "10.96.0.1"
	dnsIP        = "10.96.0.10"
	// pauseImage is what holds a pod's namespaces.
	pauseImage = "registry.k8s.io/pause:3.10.1"
)

// linkBits is the prefix length of the network between machine and node: two addresses.
const linkBits = 30

// linkRange is where such networks are taken from: it is set aside for tests of
// network devices (RFC 2544), so it is in use almost nowhere.
func linkRange() netip.Prefix { return netip.MustParsePrefix("198.18.0.0/15") }

// layout knows where everything of one cluster is, from its folder's path alone.
type layout struct {
	// dir is the cluster's folder, absolute and without links.
	dir string
}

// id tells clusters on one machine apart.
func (l layout) id() string {
	sum := l.sum()
	return hex.EncodeToString(sum[:5])
}

func (l layout) sum() [sha256.Size]byte { return sha256.Sum256([]byte(l.dir)) }

// path of something in the cluster's folder.
func (l layout) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir}, elem...)...)
}

func (l layout) namespaces() host.Namespaces { return host.Namespaces{Dir: l.path("ns")} }

func (l layout) cgroups() host.Cgroups {
	return host.Cgroups{Root: host.CgroupRoot, Name: "vc-" + l.id()}
}

// linkName is the machine's end of the veth pair: 13 characters of the 15 allowed.
func (l layout) linkName() string { return "vc-" + l.id() }

func (l layout) stateFile() string          { return l.path("state.json") }
func (l layout) kubeconfig() string         { return l.path("kubeconfig") }
func (l layout) logFile(name string) string { return l.path("logs", name+".log") }
func (l layout) pidFile(name string) string { return l.path("pids", name) }

// linkAddresses chooses the network between machine and node: the first one
// that does not overlap a network in use, starting at a place that the
// cluster's folder decides, so that a cluster keeps its address.
func (l layout) linkAddresses(used []netip.Prefix) (hostIP, nodeIP netip.Addr, err error) {
	sum := l.sum()
	slots := uint32(1) << (linkBits - linkRange().Bits())
	first := binary.BigEndian.Uint32(sum[:4]) % slots
	for offset := range slots {
		network := linkNetwork((first + offset) % slots)
		if !overlapsAny(network, used) {
			hostIP = network.Addr().Next()
			return hostIP, hostIP.Next(), nil
		}
	}
	return netip.Addr{}, netip.Addr{}, fmt.Errorf(
		"every network in %s is in use on this machine; remove an address or a route there (ip route)", linkRange())
}

func linkNetwork(slot uint32) netip.Prefix {
	base := linkRange().Addr().As4()
	number := binary.BigEndian.Uint32(base[:]) + slot<<(32-linkBits)
	var address [4]byte
	binary.BigEndian.PutUint32(address[:], number)
	return netip.PrefixFrom(netip.AddrFrom4(address), linkBits)
}

func overlapsAny(network netip.Prefix, used []netip.Prefix) bool {
	for _, other := range used {
		if network.Overlaps(other) {
			return true
		}
	}
	return false
}

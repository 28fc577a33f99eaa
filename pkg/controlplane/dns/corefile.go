// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"fmt"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// keyCorefile is the key of CoreDNS's configuration in its ConfigMap, and its file's name.
const keyCorefile = "Corefile"

// privateRanges are the addresses that clusters give to pods, Services and
// nodes (RFC 1918, 6598, 3927, 4193, 4291). Whose they are is never asked
// upstream, which might know: of the super cluster, or of the network around it.
func privateRanges() []netip.Prefix {
	var out []netip.Prefix
	for _, cidr := range [...]string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
		"fc00::/7", "fe80::/10",
	} {
		out = append(out, netip.MustParsePrefix(cidr))
	}
	return out
}

// localZones are what this server alone answers for.
func (s Spec) localZones() []string {
	zones := []string{tenancyv1alpha1.ClusterDomain}
	covered := false
	for _, private := range privateRanges() {
		zones = append(zones, private.String())
		covered = covered || private.Overlaps(s.ServiceCIDR) && private.Bits() <= s.ServiceCIDR.Bits()
	}
	if !covered {
		zones = append(zones, s.ServiceCIDR.String())
	}
	return zones
}

// corefile configures two servers on one port; the longest zone decides. The
// first knows the tenant's names and is authoritative: what it does not know
// does not exist, and is asked nobody else. The second is for the rest of the
// world. Without upstreams it says that there is none: at once, and with
// NXDOMAIN, since resolvers ask again after a refusal until they time out.
func (s Spec) corefile() string {
	keys := s.localZones()
	for i := range keys {
		keys[i] = fmt.Sprintf("%s:%d", keys[i], dnsPort)
	}
	outside := `    template IN ANY {
        rcode NXDOMAIN
    }
`
	if upstreams := s.Class.UpstreamNameservers; len(upstreams) > 0 {
		outside = `    forward . ` + strings.Join(upstreams, " ") + ` {
        max_concurrent 1000
    }
    cache 30
    loop
    loadbalance
`
	}
	return strings.Join(keys, " ") + fmt.Sprintf(` {
    errors
    health :%d {
        lameduck 2s
    }
    ready :%d
    prometheus :%d
    kubernetes {
        pods insecure
    }
    loadbalance
    reload
}
.:%d {
    errors
    prometheus :%d
%s}
`, healthPort, readyPort, metricsPort, dnsPort, metricsPort, outside)
}

func (s Spec) configMap() *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta: typed("v1", "ConfigMap"), ObjectMeta: objectMeta(Name),
		Data: map[string]string{keyCorefile: s.corefile()},
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMayCross(t *testing.T) {
	cases := map[string]bool{
		"app":                                true,
		"app.kubernetes.io/name":             true,
		"statefulset.kubernetes.io/pod-name": true,
		"batch.kubernetes.io/job-completion-index":            true,
		"apps.kubernetes.io/pod-index":                        true,
		"pod-template-hash":                                   true,
		"example.com/owner":                                   true,
		"kubernetes.io/service-name":                          true,
		"xvirtualcluster.io/tenant-id":                        true,
		"tenancy.virtualcluster.io/tenant-id":                 false,
		"evil.tenancy.virtualcluster.io/tenant-uid":           false,
		"virtualcluster.io/anything":                          false,
		"io.katacontainers.config.hypervisor.path":            false,
		"dev.gvisor.flag.network":                             false,
		"cdi.k8s.io/gpu":                                      false,
		"container.apparmor.security.beta.kubernetes.io/main": false,
		"seccomp.security.alpha.kubernetes.io/pod":            false,
		"kubectl.kubernetes.io/last-applied-configuration":    false,
		"k8s.v1.cni.cncf.io/networks":                         false,
		"cni.projectcalico.org/podIP":                         false,
		"io.kubernetes.cri-o.Devices":                         false,
		"pod-security.kubernetes.io/enforce":                  false,
		"kubernetes.io/metadata.name":                         false,
		"kubernetes.io/config.mirror":                         false,
		"sidecar.istio.io/inject":                             false,
		"dapr.io/enabled":                                     false,
		"cluster-autoscaler.kubernetes.io/safe-to-evict":      false,
		"endpointslice.kubernetes.io/managed-by":              false,
		"scheduler.alpha.kubernetes.io/defaultTolerations":    false,
		"iam.amazonaws.com/role":                              false,
		"azure.workload.identity/use":                         false,
		"external-dns.alpha.kubernetes.io/hostname":           false,
		"metallb.io/loadBalancerIPs":                          false,
		"io.cilium/lb-ipam-ips":                               false,
		"sidecar.opentelemetry.io/inject":                     false,
		"devices.noderesource.dev/container.main":             false,
		"org.criu.config":                                     false,
		"kubernetes.io/service-account.name":                  false,
		"service.kubernetes.io/topology-mode":                 true,
	}
	for key, want := range cases {
		t.Run(key, func(t *testing.T) {
			if got := MayCross(key); got != want {
				t.Errorf("MayCross is %v", got)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	cases := map[string]struct{ tenant, super, want map[string]string }{
		"nothing":               {},
		"the tenant's":          {tenant: map[string]string{"a": "1"}, want: map[string]string{"a": "1"}},
		"a key that is dropped": {super: map[string]string{"a": "1"}},
		"a key that is changed": {tenant: map[string]string{"a": "2"}, super: map[string]string{"a": "1"}, want: map[string]string{"a": "2"}},
		"the super cluster's own stays and cannot be set": {
			tenant: map[string]string{"cni.projectcalico.org/podIP": "6.6.6.6"},
			super:  map[string]string{"cni.projectcalico.org/podIP": "10.0.0.1"},
			want:   map[string]string{"cni.projectcalico.org/podIP": "10.0.0.1"},
		},
		"the stamp cannot be set": {tenant: map[string]string{"tenancy.virtualcluster.io/tenant-id": "other"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Metadata(tc.tenant, tc.super)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNthAddress(t *testing.T) {
	cases := map[string]struct {
		prefix string
		n      uint32
		want   string
	}{
		"first":          {"10.112.4.0/22", 1, "10.112.4.1"},
		"dns":            {"10.112.4.0/22", 10, "10.112.4.10"},
		"carries over":   {"10.112.4.0/22", 256, "10.112.5.0"},
		"is masked":      {"10.112.5.7/22", 1, "10.112.4.1"},
		"IPv6 is not it": {"fd00::/64", 1, "invalid IP"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := NthAddress(netip.MustParsePrefix(tc.prefix), tc.n).String(); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
}

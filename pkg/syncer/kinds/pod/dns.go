// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/policy"
)

// setDNS points the pod at its tenant's DNS. The super cluster's own, and the
// node's, which dnsPolicy Default would show, are not the tenant's to see.
func setDNS(_ context.Context, b *build) error {
	given := b.tenant.Spec.DNSConfig
	b.spec.DNSPolicy = corev1.DNSNone
	if b.tenant.Spec.DNSPolicy == corev1.DNSNone {
		b.spec.DNSConfig = given.DeepCopy()
		return nil
	}
	ndots := "5"
	config := &corev1.PodDNSConfig{
		Nameservers: []string{policy.NthAddress(b.env.Facts.ServiceCIDR, tenancyv1alpha1.TenantDNSOffset).String()},
		Searches: []string{
			b.tenant.Namespace + ".svc." + tenancyv1alpha1.ClusterDomain,
			"svc." + tenancyv1alpha1.ClusterDomain,
			tenancyv1alpha1.ClusterDomain,
		},
		Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: &ndots}},
	}
	if given != nil {
		mergeDNS(config, given)
	}
	b.spec.DNSConfig = config
	return nil
}

// mergeDNS adds what the pod asks for, within the limits of a resolv.conf.
func mergeDNS(config, given *corev1.PodDNSConfig) {
	const maxNameservers, maxSearches = 3, 32
	config.Nameservers = appendMissing(config.Nameservers, given.Nameservers, maxNameservers)
	config.Searches = appendMissing(config.Searches, given.Searches, maxSearches)
	for _, option := range given.Options {
		config.Options = slices.DeleteFunc(config.Options, func(o corev1.PodDNSConfigOption) bool { return o.Name == option.Name })
	}
	config.Options = append(config.Options, given.Options...)
}

func appendMissing(to, from []string, limit int) []string {
	for _, value := range from {
		if !slices.Contains(to, value) && len(to) < limit {
			to = append(to, value)
		}
	}
	return to
}

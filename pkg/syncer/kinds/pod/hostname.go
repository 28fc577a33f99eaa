// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"strings"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// maxHostname is the longest that the kernel takes.
const maxHostname = 64

// setHostname keeps the subdomain from the kubelet, which would make a full
// name of it with the super namespace: one that tells a tenant about the super
// cluster and that no DNS of the tenant's knows. The names that DNS serves come
// from the tenant's own EndpointSlices. A pod that wants its full name as its
// host name is given it ready made.
func setHostname(_ context.Context, b *build) error {
	spec := &b.tenant.Spec
	if spec.SetHostnameAsFQDN == nil || !*spec.SetHostnameAsFQDN || spec.Subdomain == "" {
		return nil
	}
	host := spec.Hostname
	if host == "" {
		host = b.tenant.Name
	}
	full := strings.Join([]string{host, spec.Subdomain, b.tenant.Namespace, "svc", tenancyv1alpha1.ClusterDomain}, ".")
	if len(full) > maxHostname {
		return kind.Reject("spec.setHostnameAsFQDN", "%s is longer than %d characters; remove it or choose shorter names", full, maxHostname)
	}
	b.spec.HostnameOverride = &full
	return nil
}

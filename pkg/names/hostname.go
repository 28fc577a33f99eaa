// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package names

// hostDigest is how much of the digest a host name carries: 100 bits. The
// longest name of a VirtualCluster leaves room for 22 characters in a DNS label.
const hostDigest = 20

// Host returns the first label of the name by which a gateway knows the
// tenant: <cluster>-<digest>, at most 61 characters. Who does not know the
// tenant id cannot guess it, so trying names finds no tenants.
func (t Tenant) Host() string {
	return t.Name + "-" + digest("host", t.ID)[:hostDigest]
}

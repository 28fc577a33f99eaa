// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"strings"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// platformDomain is the domain above every API group of the platform.
const platformDomain = "virtualcluster.io"

// IsReservedKey reports whether a label or annotation key belongs to the
// platform: its prefix is the platform's domain or below it. Keys that merely
// look alike (xvirtualcluster.io/a, virtualcluster.io.evil/a) do not. The API
// server admits only lower-case prefixes, so case needs no folding.
func IsReservedKey(key string) bool {
	if strings.HasPrefix(key, tenancyv1alpha1.LabelPrefix) {
		return true
	}
	prefix, _, found := strings.Cut(key, "/")
	return found && (prefix == platformDomain || strings.HasSuffix(prefix, "."+platformDomain))
}

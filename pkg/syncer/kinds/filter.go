// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// filter returns the fields of a tenant's spec that may cross. It refuses the
// object for the first field that must not be set, and warns about those that
// have no effect.
func filter[T any](env kind.Env, rules policy.Fields, spec *T) (*T, error) {
	out, findings := policy.Filter(rules, spec, "spec")
	for _, finding := range findings {
		if finding.Fatal {
			return nil, kind.Reject(finding.Field, "%s", finding.Remedy)
		}
	}
	for _, finding := range findings {
		env.Warn(finding.Field, finding.Remedy)
	}
	return out, nil
}

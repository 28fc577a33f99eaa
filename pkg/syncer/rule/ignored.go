// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"maps"
	"slices"
	"strings"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// maxIgnored is how many fields one warning names.
const maxIgnored = 5

// warn tells the tenant which of the fields it has set stay behind.
func (d downward) warn(env kind.Env, tenant map[string]any) {
	var ignored []string
	for _, name := range slices.Sorted(maps.Keys(tenant)) {
		switch name {
		case "apiVersion", "kind", "metadata", "status":
		default:
			ignored = d.uncovered(path{name}, tenant[name], ignored)
		}
	}
	if len(ignored) == 0 {
		return
	}
	named := ignored
	if len(named) > maxIgnored {
		named = append(slices.Clone(named[:maxIgnored]), "more")
	}
	env.Warn(strings.Join(named, ", "), "the platform does not pass this on to where the object takes effect")
}

// uncovered appends the fields at and below p of which the rule says nothing.
func (d downward) uncovered(p path, value any, ignored []string) []string {
	above := false
	for _, listed := range [][]path{d.copy, d.report} {
		for _, known := range listed {
			if p.isWithin(known) {
				return ignored
			}
			above = above || known.isWithin(p)
		}
	}
	fields, ok := value.(map[string]any)
	if !above || !ok {
		return append(ignored, p.String())
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		ignored = d.uncovered(append(slices.Clone(p), name), fields[name], ignored)
	}
	return ignored
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"net/netip"
	"strings"
	"testing"

	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
)

// TestSuitableRange: a cluster that somebody else runs can say anything of
// itself, and must get no more than a tenant of the class would be given.
func TestSuitableRange(t *testing.T) {
	ranges := func(texts ...string) *external.Facts {
		facts := &external.Facts{ServiceIP: netip.MustParseAddr("10.112.0.1")}
		for _, text := range texts {
			facts.ServiceCIDRs = append(facts.ServiceCIDRs, netip.MustParsePrefix(text))
		}
		return facts
	}
	cases := map[string]struct {
		facts *external.Facts
		want  string
		why   string
	}{
		"fits":              {ranges("10.112.4.0/22"), "10.112.4.0/22", ""},
		"smaller":           {ranges("10.112.4.0/24"), "10.112.4.0/24", ""},
		"the whole pool":    {ranges("10.112.0.0/12"), "", "larger than a tenant's may be"},
		"around the pool":   {ranges("10.0.0.0/8"), "", "does not lie within"},
		"elsewhere":         {ranges("10.96.0.0/22"), "", "does not lie within"},
		"of another family": {ranges("2001:db8::/120"), "", "does not lie within"},
		"two families":      {ranges("10.112.4.0/22", "2001:db8::/120"), "", "two IP families"},
		"not told":          {ranges(), "10.112.0.0/22", ""},
		"not told, not the first": {&external.Facts{ServiceIP: netip.MustParseAddr("10.112.1.1")}, "",
			"not the first address"},
		"not told, of another family": {&external.Facts{ServiceIP: netip.MustParseAddr("2001:db8::1")}, "", "not the first address"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, why := suitableRange(tc.facts, netip.MustParsePrefix("10.112.0.0/12"), 22)
			if (tc.why == "") != (why == "") || !strings.Contains(why, tc.why) || tc.want != "" && got.String() != tc.want {
				t.Errorf("suitableRange = %s, %q; want %q, %q", got, why, tc.want, tc.why)
			}
		})
	}
}

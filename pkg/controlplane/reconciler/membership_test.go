// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

func TestNextMembership(t *testing.T) {
	at := func(offset time.Duration) string { return testNow.Add(offset).Format(time.RFC3339) }
	earlier, newRevision := testNow.Add(-time.Hour), testNow.Unix()
	was := component.Membership{Established: earlier, Revision: 5, Members: 1}
	armed := component.Membership{Established: earlier, Revision: 5, Members: 1, Bootstrap: true}
	fresh := component.Membership{Revision: 5, Members: 1, Bootstrap: true}
	cases := map[string]struct {
		facts membershipFacts
		want  component.Membership
	}{
		"new":                 {membershipFacts{desired: 1}, component.Membership{Bootstrap: true, Revision: newRevision, Members: 1}},
		"served, but unsaid":  {membershipFacts{desired: 1, served: true}, component.Membership{Established: testNow, Revision: newRevision, Members: 1}},
		"not ready yet":       {membershipFacts{found: true, was: fresh, desired: 1}, fresh},
		"established":         {membershipFacts{found: true, was: was, desired: 1, served: true, serving: true}, was},
		"scaled":              {membershipFacts{found: true, was: was, desired: 3, served: true}, component.Membership{Established: earlier, Revision: newRevision, Members: 3}},
		"scaled, clock back":  {membershipFacts{found: true, was: component.Membership{Established: earlier, Revision: newRevision + 9, Members: 3}, desired: 1}, component.Membership{Established: earlier, Revision: newRevision + 10, Members: 1}},
		"lost, allowed":       {membershipFacts{found: true, was: was, desired: 1, served: true, allowed: at(-time.Minute)}, armed},
		"allowed just now":    {membershipFacts{found: true, was: was, desired: 1, served: true, allowed: at(0)}, armed},
		"stays allowed":       {membershipFacts{found: true, was: armed, desired: 1, served: true, allowed: at(-time.Minute)}, armed},
		"allowed long before": {membershipFacts{found: true, was: was, desired: 1, served: true, allowed: at(-2 * time.Hour)}, was},
		"allowed too early":   {membershipFacts{found: true, was: was, desired: 1, served: true, allowed: at(time.Minute)}, was},
		"allowed in words":    {membershipFacts{found: true, was: was, desired: 1, served: true, allowed: "yes"}, was},
		"allowed, nothing lost": {
			membershipFacts{found: true, was: was, desired: 1, served: true, serving: true, allowed: at(-time.Minute)},
			component.Membership{Established: testNow, Revision: 5, Members: 1},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.facts.now = testNow
			if diff := cmp.Diff(tc.want, nextMembership(tc.facts)); diff != "" {
				t.Errorf("membership (-want +got):\n%s", diff)
			}
		})
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import "testing"

// TestIsAnother: a database that was put back is noticed by what the caches
// have shown, also when it is ahead of the last look already.
func TestIsAnother(t *testing.T) {
	cases := map[string]struct {
		now  presence
		want bool
	}{
		"went on":                            {presence{"c", "1000"}, false},
		"rests":                              {presence{"c", "990"}, false},
		"is behind what was shown":           {presence{"c", "950"}, true},
		"is behind the last look":            {presence{"c", "800"}, true},
		"is another cluster":                 {presence{"d", "1000"}, true},
		"has a version that cannot be read":  {presence{"c", "x"}, false},
		"versions are compared as numbers":   {presence{"c", "10000"}, false},
		"and not by the order of characters": {presence{"c", "99"}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tn := &tenant{cluster: "c", version: "900"}
			for _, version := range []string{"910", "990", "920"} {
				tn.shown.add(version)
			}
			if got := tn.isAnother(tc.now); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

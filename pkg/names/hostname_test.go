// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package names

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// longestName is what the API admits for a VirtualCluster.
const longestName = 40

func TestHost(t *testing.T) {
	cases := map[string]Tenant{
		"short":   {ID: "0b0f1c5e-1", Name: "a"},
		"longest": {ID: "0b0f1c5e-2", Name: strings.Repeat("a", longestName)},
		"dashes":  {ID: "0b0f1c5e-3", Name: "a-b--c"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if errs := validation.IsDNS1123Label(tc.Host()); len(errs) > 0 {
				t.Errorf("%s is no DNS label: %v", tc.Host(), errs)
			}
			if !strings.HasPrefix(tc.Host(), tc.Name+"-") {
				t.Errorf("%s does not say whose it is", tc.Host())
			}
			again := Tenant{ID: tc.ID + "x", Name: tc.Name}
			if again.Host() == tc.Host() {
				t.Errorf("two tenants of one name share %s", tc.Host())
			}
		})
	}
}

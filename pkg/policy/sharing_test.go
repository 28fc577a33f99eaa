// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestShares(t *testing.T) {
	gold := map[string]string{"tier": "gold"}
	cases := map[string]struct {
		selector *metav1.LabelSelector
		want     bool
	}{
		"no selector":         {nil, false},
		"everything":          {&metav1.LabelSelector{}, true},
		"the label":           {&metav1.LabelSelector{MatchLabels: gold}, true},
		"another label":       {&metav1.LabelSelector{MatchLabels: map[string]string{"tier": "lead"}}, false},
		"an unknown operator": {&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Like"}}}, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Shares(tc.selector, gold); got != tc.want {
				t.Errorf("shared: %v", got)
			}
		})
	}
}

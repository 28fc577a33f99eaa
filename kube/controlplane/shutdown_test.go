// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"slices"
	"testing"
)

// TestShutdownArgs: who has others to turn to is never refused, and who has not
// is told when to come again.
func TestShutdownArgs(t *testing.T) {
	cases := map[string]struct {
		replicas int
		want     []string
	}{
		"one":   {1, []string{"--shutdown-send-retry-after=true"}},
		"three": {3, []string{"--shutdown-delay-duration=4s", "--shutdown-send-retry-after=false"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := NewOptions()
			o.Replicas = tc.replicas
			got := shutdownArgs(o)
			if want := append([]string{"--shutdown-watch-termination-grace-period=3s"}, tc.want...); !slices.Equal(got, want) {
				t.Errorf("flags %v, want %v", got, want)
			}
		})
	}
}

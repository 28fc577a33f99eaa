// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func TestUntilProbe(t *testing.T) {
	for name, tc := range map[string]struct {
		members, failures int
		want              time.Duration
	}{
		"few":                     {members: 100, want: 5 * time.Second},
		"many":                    {members: 1000, want: 40 * time.Second},
		"many, and one that ails": {members: 1000, failures: 1, want: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			f := New(Options{})
			for i := range tc.members {
				f.members[types.NamespacedName{Name: fmt.Sprint(i)}] = &member{}
			}
			if got := f.untilProbe(tc.failures); got != tc.want {
				t.Errorf("after %s, want %s", got, tc.want)
			}
		})
	}
}

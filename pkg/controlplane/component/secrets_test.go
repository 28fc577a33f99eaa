// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import "testing"

// TestAuthoritiesGeneration: names and generations belong together one to one.
func TestAuthoritiesGeneration(t *testing.T) {
	for _, number := range []int32{1, 2, 10, 2147483647} {
		secret := Spec{}.Authorities(number, nil)
		if got, ok := AuthoritiesGeneration(secret.Name); got != number || !ok {
			t.Errorf("%s: generation %d (%t), want %d", secret.Name, got, ok, number)
		}
	}
	for _, name := range []string{
		"", "control-plane", "control-plane-authorities-", "control-plane-authorities-0", "control-plane-authorities-1",
		"control-plane-authorities-02", "control-plane-authorities--2", "control-plane-authorities-2147483648", "control-plane-authorities-x", "x-2",
	} {
		if got, ok := AuthoritiesGeneration(name); ok {
			t.Errorf("%q is taken for generation %d", name, got)
		}
	}
}

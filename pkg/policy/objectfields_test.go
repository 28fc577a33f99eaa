// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// TestEveryObjectFieldHasADisposition is TestEveryPodFieldHasADisposition for
// the other kinds that are filtered.
func TestEveryObjectFieldHasADisposition(t *testing.T) {
	cases := map[string]struct {
		rules Fields
		root  reflect.Type
	}{
		"claim":          {ClaimFields(), reflect.TypeFor[corev1.PersistentVolumeClaimSpec]()},
		"ingress":        {IngressFields(), reflect.TypeFor[networkingv1.IngressSpec]()},
		"network policy": {NetworkPolicyFields(), reflect.TypeFor[networkingv1.NetworkPolicySpec]()},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			used := reachable(t, tc.rules, tc.root)
			for typeName, fields := range tc.rules {
				for field := range fields {
					if !used[typeName+"."+field] {
						t.Errorf("the rule for %s.%s decides about nothing that can be reached", typeName, field)
					}
				}
			}
		})
	}
}

// reachable returns the fields that copying leads to, and complains about those
// without a rule. Types of other packages are values.
func reachable(t *testing.T, rules Fields, root reflect.Type) map[string]bool {
	t.Helper()
	used := map[string]bool{}
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || (typ.PkgPath() != root.PkgPath() && rules[typ.Name()] == nil) {
			return
		}
		for i := range typ.NumField() {
			field := typ.Field(i)
			name := typ.Name() + "." + field.Name
			if used[name] {
				continue
			}
			used[name] = true
			rule := rules[typ.Name()][field.Name]
			switch rule.Disposition {
			case Undecided:
				t.Errorf("%s has no disposition", name)
			case Strip, Refuse:
				if rule.Remedy == "" {
					t.Errorf("%s has no remedy to tell the tenant", name)
				}
			case Copy:
				walk(field.Type)
			case Rewrite, Drop:
			}
		}
	}
	walk(root)
	return used
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package names

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

const tenantID = "0d5b3bd3-6a4c-4be1-9f1c-7f6f6d1f8a52"

// The golden names guard installed platforms: a changed digest would orphan
// every namespace they have.
func TestGoldenNames(t *testing.T) {
	demo := Tenant{ID: tenantID, Name: "demo"}
	tests := map[string]struct{ got, want string }{
		"namespace":               {demo.Namespace("default"), "vc-demo-default-6u5cnjqwx5vhuh3ijgpmxvj5fu"},
		"long names are cut":      {Tenant{tenantID, strings.Repeat("a", 40)}.Namespace(strings.Repeat("b", 63)), "vc-aaaaaaaaaaaa-bbbbbbbbbbbb-ykguxkmalpbiavzljwy3gt5mmu"},
		"no dash before a dash":   {Tenant{tenantID, "abcdefghijk-x"}.Namespace("abcdefghijk-y"), "vc-abcdefghijk-abcdefghijk-j24wvhhni6nua6h5roq3kncf3q"},
		"control plane namespace": {demo.ControlPlaneNamespace(), "vcp-demo-tywfydhm74msgcihl3w4755j5u"},
		"pod secret":              {PodSecret("6a4c4be1-9f1c-7f6f-6d1f-8a520d5b3bd3"), "vc-reserved-pod-kv6xtfladgdndlclrdbteh63cy"},
		"own ConfigMap":           {ConfigMap("settings"), "settings"},
		"root CA ConfigMap":       {ConfigMap("kube-root-ca.crt"), "vc-reserved-kube-root-ca.crt"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.got != tc.want {
				t.Errorf("got %q, want %q", tc.got, tc.want)
			}
		})
	}
}

func TestNamespacesAreLabels(t *testing.T) {
	for _, name := range []string{"a", "demo", strings.Repeat("x", 40), "abcdefghijk-x"} {
		for _, namespace := range []string{"a", "kube-system", strings.Repeat("9", 63), "abcdefghijk--z"} {
			tenant := Tenant{ID: tenantID, Name: name}
			for _, got := range []string{tenant.Namespace(namespace), tenant.ControlPlaneNamespace()} {
				if errs := validation.IsDNS1123Label(got); len(errs) > 0 {
					t.Errorf("%q for %s/%s is not a DNS label: %v", got, name, namespace, errs)
				}
			}
		}
	}
}

// Joining with "-" made these collide in the retired upstream and in a peer
// (attack catalogue, M01): every pair must differ.
func TestAmbiguousTuplesDoNotCollide(t *testing.T) {
	seen := map[string]string{}
	for _, tuple := range []struct{ id, name, namespace string }{
		{"a", "t", "b-c"}, {"a-b", "t", "c"}, {"a", "t-b", "c"},
		{"ab", "t", "c"}, {"a", "t", "bc"}, {"", "t", "abc"}, {"abc", "t", ""},
	} {
		tenant := Tenant{ID: tuple.id, Name: tuple.name}
		for _, got := range []string{tenant.Namespace(tuple.namespace)} {
			digest := got[strings.LastIndex(got, "-")+1:]
			key := tuple.id + "|" + tuple.namespace
			if other, found := seen[digest]; found && other != key {
				t.Errorf("%s and %s share the digest %s", other, key, digest)
			}
			seen[digest] = key
			if len(digest) != 26 {
				t.Errorf("digest %q has %d characters: 26 of base32 are 128 bits", digest, len(digest))
			}
		}
	}
}

func TestIsReserved(t *testing.T) {
	tests := map[string]struct {
		name string
		want bool
	}{
		"a tenant's name":    {"settings", false},
		"the root CA":        {ConfigMap("kube-root-ca.crt"), true},
		"a pod's secret":     {PodSecret("uid"), true},
		"merely looks alike": {"vc-reservedx", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := IsReserved(tc.name); got != tc.want {
				t.Errorf("IsReserved(%q) = %v, want %v", tc.name, got, tc.want)
			}
		})
	}
}

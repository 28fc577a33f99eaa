// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"errors"
	"strings"
	"testing"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

func TestResolveVersion(t *testing.T) {
	class := &tenancyv1alpha1.VirtualClusterClass{}
	class.Name = "gold"
	class.Spec.Versions = []tenancyv1alpha1.ClassVersion{
		{Name: "v1.36.4", Image: "old"}, {Name: "v1.37.1", Image: "new", Default: true},
	}
	cases := map[string]struct {
		asked, running string
		want           string // empty: not offered
	}{
		"default":                        {"", "", "v1.37.1"},
		"asked":                          {"v1.36.4", "", "v1.36.4"},
		"asked while another runs":       {"v1.37.1", "v1.36.4", "v1.37.1"},
		"the default moved on":           {"", "v1.36.4", "v1.36.4"},
		"what runs is no longer offered": {"", "v1.35.0", "v1.37.1"},
		"not offered":                    {"v1.40.0", "v1.36.4", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := resolveVersion(class, tc.asked, tc.running)
			if tc.want != "" {
				if err != nil || got.Name != tc.want || got.Image == "" {
					t.Errorf("resolveVersion = %+v, %v; want %s", got, err, tc.want)
				}
				return
			}
			var wait *blocked
			if !errors.As(err, &wait) || wait.reason != tenancyv1alpha1.ReasonVersionNotOffered {
				t.Fatalf("error = %v", err)
			}
			for _, part := range []string{"spec.version", "gold", "v1.36.4", "v1.37.1"} {
				if !strings.Contains(wait.message, part) {
					t.Errorf("the message %q does not name %q", wait.message, part)
				}
			}
		})
	}
}

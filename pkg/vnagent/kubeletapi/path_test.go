// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePath(t *testing.T) {
	good := target{endpoint: "exec", namespace: "ns", pod: "web-0.sub", container: "c"}
	cases := map[string]struct {
		path string
		want *target // nil: an error
	}{
		"container":                 {"/exec/ns/web-0.sub/c", &good},
		"no container":              {"/portForward/ns/web", &target{endpoint: "portForward", namespace: "ns", pod: "web"}},
		"escaped letter":            {"/exec/%6es/web-0.sub/c", &good},
		"dot segment":               {"/exec/../web/c", nil},
		"escaped dot segment":       {"/containerLogs/%2e%2e/web/c", nil},
		"escaped separator":         {"/exec/a%2Fb/p/c", nil},
		"twice escaped":             {"/exec/%252e%252e/p/c", nil},
		"empty first segment":       {"//exec/ns/web/c", nil},
		"empty segment":             {"/exec/ns//c", nil},
		"trailing dot segments":     {"/exec/ns/pod/c/../../..", nil},
		"trailing slash":            {"/exec/ns/pod/c/", nil},
		"dot segments to a sibling": {"/exec/ns/pod/..", nil},
		"semicolon":                 {"/exec/ns/pod;x/c", nil},
		"NUL":                       {"/exec/ns/pod%00/c", nil},
		"newline":                   {"/exec/ns/pod%0a/c", nil},
		"bad escape":                {"/exec/ns/pod%/c", nil},
		"upper case":                {"/exec/NS/pod/c", nil},
		"too long":                  {"/exec/ns/" + strings.Repeat("a", 64<<10) + "/c", nil},
		"long namespace":            {"/exec/" + strings.Repeat("a", 64) + "/pod/c", nil},
		"too short":                 {"/exec/ns", nil},
		"too many":                  {"/exec/ns/pod/uid/c", nil},
		"asterisk":                  {"*", nil},
		"empty":                     {"", nil},
		"no leading slash":          {"x/exec/ns/pod", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parsePath(tc.path)
			if tc.want == nil {
				if err == nil {
					t.Errorf("parsePath(%.80q) = %+v, want an error", tc.path, got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*tc.want, got, cmp.AllowUnexported(target{})); diff != "" {
				t.Errorf("parsePath (-want +got):\n%s", diff)
			}
		})
	}
}

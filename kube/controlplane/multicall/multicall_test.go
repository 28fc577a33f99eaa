// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package multicall

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	tests := map[string]struct {
		name           string
		code           int
		stdout, stderr string // parts of what is printed; empty: nothing is
	}{
		"a program":     {name: "second", code: 7},
		"no program":    {name: "third", code: exitUsage, stderr: `unknown program "third"`},
		"help":          {name: "help", stderr: "second"},
		"version":       {name: "version", stdout: "v"},
		"empty name":    {name: "", code: exitUsage, stderr: `unknown program ""`},
		"part of names": {name: "sec", code: exitUsage, stderr: "usage: kube"},
	}
	programs := []Program{
		{Name: "first", Short: "the first", Run: func() int { t.Error("the first program ran"); return 0 }},
		{Name: "second", Short: "the second", Run: func() int { return 7 }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(tc.name, programs, &stdout, &stderr); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for got, want := range map[*bytes.Buffer]string{&stdout: tc.stdout, &stderr: tc.stderr} {
				if !strings.Contains(got.String(), want) || want == "" && got.Len() > 0 {
					t.Errorf("printed %q, want %q", got.String(), want)
				}
			}
		})
	}
}

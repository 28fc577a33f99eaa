// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	measured := &Report{}
	measured.Note("burst", "memory", "MiB", 70)
	measured.Compare("burst", "throughput", "pods/s", 200, 110)
	number := func(f float64) *float64 { return &f }
	for name, tc := range map[string]struct {
		limit Limit
		want  string // empty: no error
	}{
		"kept":                   {Limit{Scenario: "burst", Figure: "memory", Of: OfValue, AtMost: number(80)}, ""},
		"passed":                 {Limit{Scenario: "burst", Figure: "memory", Of: OfValue, AtMost: number(60)}, "its value is 70, at most 60 is wanted"},
		"a ratio that is kept":   {Limit{Scenario: "burst", Figure: "throughput", Of: OfRatio, AtLeast: number(0.55)}, ""},
		"a ratio that is passed": {Limit{Scenario: "burst", Figure: "throughput", Of: OfRatio, AtLeast: number(0.6)}, "its ratio is 0.55, at least 0.6 is wanted"},
		"a difference":           {Limit{Scenario: "burst", Figure: "throughput", Of: OfDifference, AtLeast: number(0)}, "its difference is -90"},
		"nothing to compare":     {Limit{Scenario: "burst", Figure: "memory", Of: OfRatio, AtMost: number(1)}, "there is no ratio"},
		"not measured":           {Limit{Scenario: "steady", Figure: "memory", Of: OfValue, AtMost: number(1)}, "it was not measured"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Check(measured, []Limit{tc.limit})
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestReadLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		content string
		want    string // empty: no error
	}{
		"a limit":         {"- {scenario: a, figure: b, atMost: 1, runs: c}", ""},
		"no limit":        {"- {scenario: a, figure: b, runs: c}", "entry 0"},
		"two limits":      {"- {scenario: a, figure: b, atMost: 1, atLeast: 1, runs: c}", "entry 0"},
		"no runs":         {"- {scenario: a, figure: b, atMost: 1}", "entry 0"},
		"of what":         {"- {scenario: a, figure: b, atMost: 1, runs: c, of: all}", "entry 0"},
		"a field unheard": {"- {scenario: a, figure: b, atMost: 1, runs: c, most: 2}", "unknown field"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "limits.yaml")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := ReadLimits(path)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package report holds what a benchmark has measured, and the limits of it.
package report

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// Report is what a run has measured. It is safe for concurrent use.
type Report struct {
	// Date, Commit and Machine say what was measured; Write sets them.
	Date    string   `json:"date"`
	Commit  string   `json:"commit"`
	Machine string   `json:"machine"`
	Figures []Figure `json:"figures"`

	mu sync.Mutex
}

// Figure is one number.
type Figure struct {
	// Scenario and Name identify it.
	Scenario string `json:"scenario"`
	Name     string `json:"name"`
	Unit     string `json:"unit"`
	// Direct is the super cluster's own, where there is one to compare with.
	Direct *float64 `json:"direct,omitempty"`
	// Value is what was measured through the syncer.
	Value float64 `json:"value"`
	// Ratio and Difference compare Value with Direct.
	Ratio      *float64 `json:"ratio,omitempty"`
	Difference *float64 `json:"difference,omitempty"`
}

// Note adds a figure that has nothing to be compared with.
func (r *Report) Note(scenario, name, unit string, value float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Figures = append(r.Figures, Figure{Scenario: scenario, Name: name, Unit: unit, Value: value})
}

// Compare adds a figure beside that of the comparison.
func (r *Report) Compare(scenario, name, unit string, direct, value float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ratio, difference := value/direct, value-direct
	r.Figures = append(r.Figures, Figure{scenario, name, unit, &direct, value, &ratio, &difference})
}

// Write saves the report as JSON.
func (r *Report) Write(ctx context.Context, path string) error {
	r.Date = time.Now().UTC().Format(time.DateOnly)
	r.Machine = fmt.Sprintf("%d cores, %s, %s", runtime.NumCPU(), runtime.GOARCH, runtime.Version())
	if commit, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty").Output(); err == nil {
		r.Commit = strings.TrimSpace(string(commit))
	}
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	return os.WriteFile(path, append(content, '\n'), 0o600)
}

// Table shows the report to people.
func (r *Report) Table() string {
	var out bytes.Buffer
	fmt.Fprintf(&out, "\n%s, commit %s, %s\n\n", r.Date, r.Commit, r.Machine)
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	compared := slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Direct != nil })
	if compared {
		fmt.Fprintln(w, "scenario\tfigure\tunit\tdirect\tthrough the syncer\tratio")
	} else {
		fmt.Fprintln(w, "scenario\tfigure\tunit\tvalue")
	}
	for _, f := range r.Figures {
		if !compared {
			fmt.Fprintf(w, "%s\t%s\t%s\t%.4g\n", f.Scenario, f.Name, f.Unit, f.Value)
			continue
		}
		direct, ratio := "", ""
		if f.Direct != nil {
			direct, ratio = fmt.Sprintf("%.4g", *f.Direct), fmt.Sprintf("%.2f", *f.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.4g\t%s\n", f.Scenario, f.Name, f.Unit, direct, f.Value, ratio)
	}
	_ = w.Flush() // to a buffer
	return out.String()
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"
)

// What a limit is about: the figure itself, or how it compares with the super
// cluster's own.
const (
	OfValue      = "value"
	OfRatio      = "ratio"
	OfDifference = "difference"
)

// Limit is what a figure must keep to.
type Limit struct {
	// Scenario and Figure name it.
	Scenario string `json:"scenario"`
	Figure   string `json:"figure"`
	// Of is OfValue (the default), OfRatio or OfDifference.
	Of string `json:"of,omitempty"`
	// AtLeast or AtMost is the limit, in the figure's unit.
	AtLeast *float64 `json:"atLeast,omitempty"`
	AtMost  *float64 `json:"atMost,omitempty"`
	// Goal says what is aimed at, where the limit is not there yet.
	Goal string `json:"goal,omitempty"`
	// Runs are those behind the limit: what was measured, when and on what.
	Runs string `json:"runs"`
}

var (
	errLimit  = errors.New("limits")
	errPassed = errors.New("passed")
)

// ReadLimits reads a file of limits. Unknown fields, and limits that limit
// nothing, are errors.
func ReadLimits(path string) ([]Limit, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var limits []Limit
	if err := yaml.UnmarshalStrict(content, &limits); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	for i := range limits {
		l := &limits[i]
		if l.Of == "" {
			l.Of = OfValue
		}
		known := l.Of == OfValue || l.Of == OfRatio || l.Of == OfDifference
		if l.Scenario == "" || l.Figure == "" || l.Runs == "" || !known || (l.AtLeast == nil) == (l.AtMost == nil) {
			errs = append(errs, fmt.Errorf("%s: %w: entry %d needs scenario, figure, runs, either atLeast or atMost, and of value, ratio or difference", path, errLimit, i))
		}
	}
	return limits, errors.Join(errs...)
}

// Check returns an error for each limit that a report passes, or has no figure for.
func Check(report *Report, limits []Limit) error {
	var errs []error
	for i := range limits {
		errs = append(errs, limits[i].check(report))
	}
	return errors.Join(errs...)
}

func (l *Limit) check(report *Report) error {
	name := l.Scenario + ": " + l.Figure
	for i := range report.Figures {
		f := &report.Figures[i]
		if f.Scenario != l.Scenario || f.Name != l.Figure {
			continue
		}
		value := map[string]*float64{OfValue: &f.Value, OfRatio: f.Ratio, OfDifference: f.Difference}[l.Of]
		switch {
		case value == nil:
			return fmt.Errorf("%s: %w: there is no %s", name, errLimit, l.Of)
		case l.AtLeast != nil && *value < *l.AtLeast:
			return fmt.Errorf("%s: %w: its %s is %.4g, at least %.4g is wanted", name, errPassed, l.Of, *value, *l.AtLeast)
		case l.AtMost != nil && *value > *l.AtMost:
			return fmt.Errorf("%s: %w: its %s is %.4g, at most %.4g is wanted", name, errPassed, l.Of, *value, *l.AtMost)
		}
		return nil
	}
	return fmt.Errorf("%s: %w: it was not measured", name, errLimit)
}

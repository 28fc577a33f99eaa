// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command check compares the figures of a benchmark with their limits, and
// fails when one is passed or was not measured.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"virtualcluster.io/virtualcluster/test/performance/report"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: check LIMITS FIGURES")
		os.Exit(2)
	}
	if err := check(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(limitsFile, figuresFile string) error {
	limits, err := report.ReadLimits(limitsFile)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(figuresFile)
	if err != nil {
		return fmt.Errorf("run the benchmarks first: %w", err)
	}
	measured := &report.Report{}
	if err := json.Unmarshal(content, measured); err != nil {
		return fmt.Errorf("%s: %w", figuresFile, err)
	}
	if err := report.Check(measured, limits); err != nil {
		return err
	}
	fmt.Printf("all %d limits are kept by the figures of %s, commit %s\n", len(limits), measured.Date, measured.Commit)
	return nil
}

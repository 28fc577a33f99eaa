// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"fmt"
	"os"
	"testing"

	"virtualcluster.io/virtualcluster/test/performance/report"
)

// resultFile is where the figures are written, below the repository.
const resultFile = "../../bin/bench.json"

// results are the figures of this run; TestMain writes them.
var results = &report.Report{}

func TestMain(m *testing.M) {
	code := m.Run()
	if len(results.Figures) > 0 {
		fmt.Print(results.Table())
	}
	os.Exit(code)
}

// BenchmarkPods runs the scenarios that share one super cluster, a scheduler,
// twenty simulated nodes, three tenants and a syncer as it is shipped.
func BenchmarkPods(b *testing.B) {
	w := newWorld(b)
	w.addTenants(b, 3)
	w.startSyncer(b)
	for _, scenario := range []struct {
		name string
		run  func(*testing.B, *world, string) int
	}{
		{"idle", idle},
		{"burst", burst},
		{"one tenant", oneTenant},
		{"tokens", tokens},
		{"steady 20", steadyAt(20)},
		{"steady 100", steadyAt(100)},
		{"greedy", greedy},
		{"failing", failing},
		{"restart", restart},
		{"limit", limit},
		{"dead", dead},
		{"100 tenants", many(100)},
		{"1000 tenants", many(1000)},
	} {
		b.Run(scenario.name, func(b *testing.B) { w.measured(b, scenario.name, scenario.run) })
	}
}

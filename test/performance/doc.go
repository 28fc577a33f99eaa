// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package performance measures the syncer side by side with the super cluster
// itself, in one run on one machine: real control planes, a real scheduler, and
// nodes that kwok simulates. `make bench` runs it, prints a table and writes
// bin/bench.json; `make bench-check` compares that with limits.yaml.
//
// It consists of benchmarks, each of which runs once. What a figure means is
// said where it is noted; see docs/performance.md for how to read them.
package performance

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kinds lists the kinds that are synced. Each kind is one literal in a
// file of its own; adding one touches that file and the list in kinds.go. What
// the super cluster's cache holds of it follows from the literal.
//
// Two tests fail until a new kind has its samples: TestContract here wants a
// method of samples beside the kind, and TestContract of test/integration/syncer,
// which runs on real API servers, a method of contracts. The right to read or
// write the kind in the super cluster is a marker in package syncer.
package kinds

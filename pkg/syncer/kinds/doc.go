// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kinds lists the kinds that are synced. Each kind is one literal in a
// file of its own; adding one touches that file and the list in kinds.go.
package kinds

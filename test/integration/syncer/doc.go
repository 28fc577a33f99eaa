// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package syncer tests the syncer against real control planes: one super
// cluster and two tenants. No kubelet runs; the tests play one (see
// fakekubelet_test.go).
package syncer

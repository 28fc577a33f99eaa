// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e holds the end-to-end tests: a real local super cluster, the
// platform installed from its chart, tenants made by the kubectl plugin, pods
// in real sandboxes. There is nothing here but tests; see main_test.go for
// what they run on and how to keep the cluster between runs.
package e2e

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane measures tenants' control planes on a local super
// cluster with real pods: how long a virtual cluster takes to become Ready and
// what the time is spent on, what an idle one needs of memory, and what becomes
// of thirty that are created at once. Run it with `make bench-controlplane`.
package controlplane

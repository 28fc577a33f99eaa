// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package custom tests custom resources by rules of a class, on real control
// planes: a super cluster and two tenants, with definitions that come and go.
// The syncer works with the rights that the chart gives it, and no more.
package custom

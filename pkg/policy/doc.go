// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package policy decides what may cross the boundary between a tenant and the
// super cluster: which labels and annotations, which fields of a pod, and with
// which values.
//
// The rules are data and pure functions. Nothing here reads or writes an API;
// nothing here knows a particular tenant. Every function is safe for
// concurrent use.
package policy

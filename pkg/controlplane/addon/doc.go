// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package addon keeps objects of the platform in a tenant's API as they should be.
//
// # Usage
//
// Connect for one visit, call Keep or Remove with everything that makes up the
// add-on, Close. Nothing stays open between visits: a thousand tenants cost
// what their visits cost.
//
// # Security
//
// A tenant is cluster-admin of its API and is assumed to be hostile. So it gets
// nothing to steer with: the requests are for fixed names with fixed content;
// what comes back is compared, and decides only whether to write, repair or make
// that object again; redirects are not followed, answers and times are bounded,
// and what the tenant's webhooks say reaches people cleaned and cut. An object that the platform did not make is
// never written to and never deleted.
//
// What a tenant can reach by fighting is that its own add-on does not work.
package addon

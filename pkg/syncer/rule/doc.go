// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rule turns the rules that a class has for custom resources into kinds.
//
// A rule is data of the platform's team; the objects are a tenant's, whose own
// API server gives them any shape. So a rule is an allow-list: nothing crosses
// but the fields that it names. What it names is looked through before: a field
// with "namespace" in its name must be one that the rule knows, or the object
// is refused. See docs/designs/20261120-custom-resources.md.
//
// Rules are compiled once and safe for concurrent use.
package rule

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vnagent_test runs vn-agent between real control planes: a super
// cluster whose one node has a kubelet of the test's making, and a tenant whose
// API server reaches its pods through the agent. The agent has exactly the
// rights that config/rbac/vn-agent gives it.
package vnagent_test

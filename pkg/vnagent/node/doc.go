// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node keeps one virtual Node registered in the control plane of each tenant.
//
// A Reconciler on VirtualClusters runs one agent for each tenant. An agent
// registers the Node, renews its Lease (both with the virtual-kubelet node
// library, as the identity of that node, which may do what a kubelet may) and
// watches it: what the tenant changes of the Node's status is put back, and a
// deleted Node is registered again. Agents share nothing but the super
// cluster's capacity, so a tenant that does not answer costs the others
// nothing.
//
// # Trade-offs
//
// What a kubelet may not write is left as the tenant made it: taints (those of
// the class are set when the Node is made) and spec.unschedulable are the tenant administrator's to set, and have no effect
// on pods that run. Conditions of other types are left, because agents for
// them are a tenant's to run.
package node

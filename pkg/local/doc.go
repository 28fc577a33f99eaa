// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package local is a real Kubernetes cluster on one Linux machine, with the
// platform on it: for laptops, tests and CI.
//
// # Usage
//
// Up starts a cluster whose whole state is below one folder, Status looks at
// it, Down takes it away. Each may be called again at any time, also after a
// crash in the middle: what belongs to a cluster is found by names made from
// the folder's path, never by the memory of a process.
//
// # How it is built
//
// All of a cluster runs in a network namespace of its own, joined to the
// machine by a veth pair whose inner end is the node's address, and in a mount
// namespace of its own, in which /run and /var are empty and the cluster's
// folder appears as /run/vc. So its interfaces, iptables rules, mounts and
// sockets vanish with it, the files that its parts keep in fixed places land
// below the folder, and two clusters do not see each other. All of its
// processes are in one cgroup, by which they are found and ended.
//
// # Trade-offs
//
// Pods reach each other, the node and the API, but nothing beyond the machine:
// there is no NAT, because that would need rules outside the namespace. Images
// come from files.
package local

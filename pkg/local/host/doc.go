// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package host is the little of a Linux machine that a local cluster is made
// of: namespaces kept alive by files, a veth pair, cgroups and detached
// daemons. It knows nothing about Kubernetes.
//
// # Usage
//
// Namespaces.Create makes a network and a mount namespace; Start runs a program
// in them and in a cgroup; Cgroups.Kill and Namespaces.Remove take everything
// away again. All of it can be found again by name alone, so that cleaning up
// never depends on the memory of the process that made it.
//
// On other systems than Linux every operation returns ErrNotLinux.
package host

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a Kubernetes control plane as one process: an
// embedded etcd, kube-apiserver and kube-controller-manager. One process per
// tenant needs about half of the memory of three, starts in about three
// seconds from an empty disk, and leaves no etcd port for anybody to reach:
// the database listens on a unix socket in a directory of its own.
//
// Flags exist only for what differs between tenants. Everything else is
// decided here, once, with its reason: see apiserver.go and
// controllermanager.go. The certificates come from a directory whose file
// names are in pki.go.
package controlplane

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kubeletapi serves, to the API servers of tenants, the part of the
// kubelet's API that leads to one pod of the caller's: containerLogs, exec,
// attach and portForward, one file each. Everything else is not found; in
// particular nothing here lists pods, runs a command without a stream, or
// tells about the node.
//
// Each request passes the same steps: who calls (Authenticate), what is asked
// (one strict parse of path and query: what is not understood is refused), how
// much the tenant has open (Limits), which pod that is (Find), and then the pod
// serves the stream. Every stream ends in one line of the audit log. A stream
// ends when either side ends it, when nothing moved for the idle timeout, or
// when the tenant goes.
package kubeletapi

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tenantauth says which tenant a client certificate stands for.
//
// The kubelet API serves every tenant's API server on one port. Who calls is
// decided by the CA that issued the caller's certificate and by nothing else:
// each tenant has a CA of its own for this one purpose, which issues nothing to
// the tenant's users, so neither a name in a certificate nor a certificate
// signing request in a tenant leads to another tenant.
//
// # Usage
//
// Authorities is the set of known CAs. A Reconciler keeps it equal to the set
// of VirtualClusters; ServerTLS makes a listener that admits only callers that
// Authorities knows; Identify tells the tenant of a connection, and is asked
// again for each request, so that a tenant that has gone is refused on
// connections that it still holds.
package tenantauth

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gateway is vc-gateway: one address for the API servers of all tenants.
//
// A client begins a TLS handshake in which it names the host that it wants
// (SNI, RFC 6066). The gateway reads that one message, looks up which tenant
// has the name, connects to the tenant's API server, hands the message on and
// from then on copies bytes both ways. It holds no key and decrypts nothing:
// the client verifies the API server, and the API server the client, as
// without it.
//
// Where a name leads comes from the status of VirtualClusters alone, which
// vc-manager writes and a tenant cannot reach; a client chooses among these
// names and nothing else. What is refused is refused in the same way, whatever
// the reason, so that nobody learns which tenants there are.
//
// Files: hello.go reads the name; routes.go knows where names lead and who is
// connected; server.go accepts, bounds and drains; relay.go copies; setup.go
// joins them to a manager.
package gateway

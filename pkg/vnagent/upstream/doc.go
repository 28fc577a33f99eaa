// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upstream leads a tenant's kubelet requests to the super cluster.
//
// Pods finds the super pod of a tenant's pod: its key is computed from the
// tenant's identity, it is read live, and it counts only if its stamp says
// that it is that tenant's pod of that name. Pod.ServeStream then proxies a
// request to one subresource of that super pod and nowhere else.
//
// What a proxied request carries of the tenant's is only what a stream needs:
// method, upgrade headers and the query that the caller has checked. Headers
// are copied by allow-list in both directions. The agent's own credentials are
// added below the proxy, by the transport, where nothing a client sends can
// remove them. Redirects are never followed, and what the super cluster says
// when something fails reaches the tenant in the tenant's words or not at all.
package upstream

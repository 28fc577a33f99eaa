// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package external reaches clusters that somebody else runs, by a kubeconfig
// that a user wrote, and finds out whether one can be a tenant.
//
// # Usage
//
// Parse a kubeconfig, Connect, Inspect, then KeepAgent for vn-agent's
// identity. Close the connection: nothing stays open between visits.
//
// # Security
//
// Both the kubeconfig and the server behind it are hostile input, and vc-manager
// is made to dial what they name. So a kubeconfig must carry its data itself (no
// command, file, proxy or other person's name), the authority it brings is the
// only one that is believed, and addresses that mean the machine itself or its
// cloud's metadata are never dialled (Dialer, which judges the address after the
// name was resolved). Redirects are not followed, answers and times are bounded,
// and nothing that a server says is repeated but its status code.
//
// What the server says about itself can be a lie. It decides only about its own
// tenant: its service range is checked against what others hold, and an address
// counts as its API server's only if what answers there is certified by the
// kubeconfig's authority.
package external

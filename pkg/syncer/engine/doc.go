// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package engine runs kinds: everything that is the same for all of them.
//
// There is one reconcile, level-triggered and in tenant coordinates (tenant,
// namespace, name), for both directions. An event of a tenant leads to it
// directly; an event of the super cluster leads to it through the stamp of
// package identity. It reads both objects from caches, asks the kind what
// should be, and writes the difference.
//
// # What the engine promises
//
//   - Nothing is written to the super cluster without the tenant's stamp, and
//     nothing that carries another stamp, or none, is changed or deleted.
//   - A deletion is decided on a live read of the side whose cache says "gone",
//     and carries a UID precondition.
//   - A tenant that is not connected and synced is not an empty tenant: no
//     request of it runs, and its super objects stay.
//   - Names are deterministic and every step can be repeated, so a process
//     that is killed between any two writes is continued by the next one.
//   - What cannot be synced is told once on the tenant's own object.
//
// # Fairness
//
// Each kind has one queue that serves tenants in turn, bounds how many workers
// one tenant may hold, and keeps back-off per item; see queue.go. Work that
// finishes what has begun goes before work that begins something.
package engine

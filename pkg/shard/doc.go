// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package shard divides tenants between the replicas of a component.
//
// Each replica holds one of a few numbered Leases, its slot. The slots that are
// held are the view; a tenant belongs to the slot that wins a rendezvous hash
// over the view, so that a replica that comes or goes moves the tenants of its
// own slot and no others.
//
//	group := shard.New(shard.Options{Client: c, Namespace: "vc-system", Name: "syncer", Identity: pod})
//	group.OnChange(func() { /* drop what Owns denies, wait, take what it allows */ })
//	mgr.Add(group)
//
// No tenant has two owners while clocks run and processes notice their timers:
//
//   - A replica writes into its Lease, as an annotation, the view that it is
//     done with: it serves nothing that this view gives to others. It begins to
//     serve a tenant only when all replicas of its view have written that view,
//     itself included, before it read them. Two replicas that both began would
//     each have read the other's word after writing their own: one of them read
//     another view than its own, and did not begin.
//   - A replica that cannot renew its Lease in time owns nothing, and drops
//     everything. Only then does the Lease run out; another replica empties it
//     under its resourceVersion, so that a late renewal and a takeover cannot
//     both succeed. How old a Lease is, each replica measures on its own clock,
//     from when it saw the Lease change: wall clocks need not agree.
//
// A process that was frozen and wakes up may still send what it was about to
// send. No lease prevents that; what is written must bear it.
//
// The first slot is the Lease by which unsharded replicas elect their leader
// (package leader). So both ways exclude each other: sharded replicas that find
// a leader wait until it is gone.
package shard

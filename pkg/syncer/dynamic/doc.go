// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package dynamic runs the kinds that classes name: custom resources.
//
// Such a kind comes and goes while the syncer runs: with the rule in a class,
// and with the CustomResourceDefinition on either side. So each rule has an
// engine of its own, with caches of its own, that lives while the rule is in
// some class and the super cluster serves the kind; a tenant is engaged in it
// while its class has the rule and it serves the kind too. Everything that the
// engine promises holds: a tenant whose definition is missing is to that engine
// what an unreachable tenant is to the other one, and nothing is concluded.
//
// What a rule waits for stands in a condition of the VirtualCluster.
package dynamic

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package fleet keeps the live connections to tenants' control planes.
//
// One reconciler watches VirtualClusters. For each whose control plane is
// ready, one goroutine connects, engages the tenant with whoever listens
// (multicluster.Aware), probes it, and disengages it when it stops answering.
// Disengaging cancels the context that was given to Engage: the listener
// forgets the tenant and, above all, concludes nothing from its absence.
//
// No tenant waits for another: the reconciler only starts and stops
// goroutines, dialling is bounded in time and in number, and an unreachable
// tenant is retried with a back-off of its own.
//
// A VirtualCluster takes part once it carries FinalizerSyncer, so that nothing
// can be written for a tenant whose removal nobody would wait for.
package fleet

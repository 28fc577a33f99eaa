// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplanetest starts real control planes for tests: the `kube`
// binary that the platform ships, as a child process on loopback, with a
// database in a temporary directory.
//
//	super := controlplanetest.Start(t, controlplanetest.Options{Role: controlplanetest.RoleSuper})
//	controlplanetest.InstallCRDs(t, super.Config)
//
// It runs no kubelet: pods stay as the test leaves them. A missing binary
// fails the test, with the command that builds it; nothing is skipped.
package controlplanetest

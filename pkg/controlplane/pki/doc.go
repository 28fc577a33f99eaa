// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package pki makes the keys and certificates of a control plane.
//
// A control plane has one certificate authority for each relation of trust, so
// that what one of them signs opens no other door: a tenant's certificate
// signing requests are answered by the user CA, and nothing that CA signs is
// accepted by etcd, by the aggregation layer or by vn-agent.
//
// Authorities are made once and stored by the caller, again for each rotation:
// what is made together is a generation. ControlPlaneFiles turns them into the files that the control plane process reads, keeping
// every leaf that is still good, so calling it again changes nothing until a
// leaf has to be renewed.
//
// The current time is a parameter everywhere. Functions are safe for
// concurrent use and log nothing: most of what they return is secret.
package pki

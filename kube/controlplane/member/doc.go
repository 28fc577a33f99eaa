// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package member decides how a replica of a control plane takes part in the
// control plane's database, and makes it a part of it.
//
// The rule above all others: a second database is never made where one may
// exist. A replica whose volume is empty therefore asks the others before
// anything else; whoever finds a database joins it, and only the first replica
// may make a new one, and only while nobody has said that there was one before.
//
// Decide is that rule as a pure function. Disk and Intent are what it reads
// (the replica's volume; what the manager wrote), Client is who asks the other
// members, and Joiner carries out the one decision that takes several steps.
package member

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package highavailability holds the tests of a control plane of three
// replicas: three real processes on this machine that are killed, lose their
// volumes, are removed and come back, while a client writes all the time and
// keeps a journal of what was acknowledged.
package highavailability

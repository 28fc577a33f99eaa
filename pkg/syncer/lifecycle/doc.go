// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lifecycle is the syncer's part in the life of a VirtualCluster: the
// finalizer before the first super object, the condition SyncerReady and the
// number of pods while it lives, and the removal of all its super objects at
// its end. It reads and writes the super and meta cluster only; a tenant that
// cannot be reached is removed like any other.
package lifecycle

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"crypto/sha256"
	"encoding/binary"
)

// Each control plane runs as a user of its own, from a range that no
// distribution gives to people or services. Linux counts what a user holds on a
// node, not what a pod does: inotify instances (fs.inotify.max_user_instances,
// 128 by default, of which a control plane takes about twelve), processes,
// keys. One user for all would let the eleventh tenant of a node fail for want
// of them, and one tenant starve the others. And whoever breaks out of one
// control plane is still not the owner of another's files.
const (
	firstUser = 1_000_000_000
	users     = 1_000_000_000
)

// user returns the user and group of the processes and files of this control
// plane. Two tenants of one node share one as rarely as a digest allows, and
// nothing depends on it.
func (s Spec) user() int64 {
	digest := sha256.Sum256([]byte(s.TenantID))
	return firstUser + int64(binary.BigEndian.Uint64(digest[:8])%users)
}

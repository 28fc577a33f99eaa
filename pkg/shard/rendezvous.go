// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"crypto/sha256"
	"encoding/binary"

	"sigs.k8s.io/multicluster-runtime/pkg/manager/coordinator/sharded/sharder"
)

// Rendezvous gives each tenant to the peer with the highest digest of both. It
// does what sharder.HRW does with a digest that spreads: the FNV-1a of HRW
// differs for names with a common beginning, as replicas have, in its lower
// bits, and so gives one of them much more than another. Weights are ignored.
type Rendezvous struct{}

var _ sharder.Sharder = Rendezvous{}

// ShouldOwn implements sharder.Sharder. Nobody owns anything among no peers.
func (Rendezvous) ShouldOwn(id string, peers []sharder.PeerInfo, self sharder.PeerInfo) bool {
	owner, highest := "", uint64(0)
	for _, peer := range peers {
		if s := score(id, peer.ID); owner == "" || s > highest || s == highest && peer.ID < owner {
			owner, highest = peer.ID, s
		}
	}
	return owner != "" && owner == self.ID
}

func score(id, peer string) uint64 {
	digest := sha256.Sum256([]byte(id + "\x00" + peer))
	return binary.BigEndian.Uint64(digest[:])
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"fmt"
	"slices"
	"testing"

	"sigs.k8s.io/multicluster-runtime/pkg/manager/coordinator/sharded/sharder"
)

// shares counts what each of n peers gets of 3,000 tenants.
func shares(s sharder.Sharder, name string, n int) []int {
	var peers []sharder.PeerInfo
	for i := range n {
		peers = append(peers, sharder.PeerInfo{ID: fmt.Sprintf("%s-%d", name, i), Weight: 1})
	}
	counts := make([]int, n)
	for tenant := range 3000 {
		for i, peer := range peers {
			if s.ShouldOwn(fmt.Sprintf("%08x-6ba7-4812-9dad-11d180b4%04x", tenant*2654435761%(1<<32), tenant), peers, peer) {
				counts[i]++
			}
		}
	}
	return counts
}

func TestRendezvousSharesEvenly(t *testing.T) {
	for _, n := range []int{1, 2, 3, 5, 16} {
		counts := shares(Rendezvous{}, "syncer", n)
		sum := 0
		for _, count := range counts {
			sum += count
			if mean := 3000 / n; count < mean*3/4 || count > mean*5/4 {
				t.Errorf("of %d peers one has %d of 3000", n, count)
			}
		}
		if sum != 3000 {
			t.Errorf("%d peers own %d of 3000", n, sum)
		}
	}
	if (Rendezvous{}).ShouldOwn("a", nil, sharder.PeerInfo{ID: "p"}) {
		t.Error("somebody owns a tenant among no peers")
	}
}

// TestWhyNotHRW holds the reason for Rendezvous: when it fails, the library's
// own sharder has become even, and can be used instead.
func TestWhyNotHRW(t *testing.T) {
	counts := shares(sharder.NewHRW(), "syncer", 3)
	t.Logf("HRW gives three replicas %v of 3000 tenants", counts)
	if slices.Max(counts) < 1300 {
		t.Error("HRW is even now")
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"testing"
)

// deadAmong is how many tenants there are when one of them is dead: the three
// real ones, of which one dies, and fake ones.
const deadAmong = 10

// dead measures two tenants among ten, and then again while a third, which has
// pods, accepts connections and does not answer, as a machine does that hangs.
func dead(b *testing.B, w *world, name string) int {
	w.addFakes(b, deadAmong)
	victim := w.tenants[0]
	busy := w.inTenants(b, w.tenants[:1], nil)
	busy.load(b, func(ctx context.Context, s *side) error { return s.createAll(ctx, 100) })
	without := w.inTenants(b, w.tenants[1:], nil).steady(b, calmRate, calmPods)
	calm := w.inTenants(b, w.tenants[1:], nil)
	victim.instance.Freeze(b)
	beside := calm.steady(b, calmRate, calmPods)
	victim.instance.Thaw(b)
	w.waitSynced(b)
	busy.clear(b)
	latencies(name, "create to Running of the two others, without and beside", without.running, beside.running)
	return 0
}

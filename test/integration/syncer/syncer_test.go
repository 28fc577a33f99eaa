// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import "testing"

// TestSyncer starts one super cluster and two tenants for all of its parts.
// Each part uses a tenant namespace of its own.
func TestSyncer(t *testing.T) {
	e := newEnvironment(t)
	e.runFakeKubelet(t)
	blue, green := e.addTenant(t, "blue", "10.112.0.0/22"), e.addTenant(t, "green", "10.112.4.0/22")
	tenants := []*tenant{blue, green}
	stop := e.startSyncer(t)
	for _, tn := range tenants {
		e.waitSynced(t, tn)
		tn.waitServiceAccount(t, "default")
	}
	t.Run("writes for one pod", func(t *testing.T) { testWriteBudget(t, e, green) })
	t.Run("two tenants use the same names", func(t *testing.T) { testSameNames(t, e, tenants) })
	t.Run("forbidden pods are refused with an event", func(t *testing.T) { testRefusals(t, e, blue) })
	t.Run("a pod that the tenant bound", func(t *testing.T) { testForeignScheduler(t, e, blue) })
	t.Run("graceful deletion", func(t *testing.T) { testGracefulDeletion(t, e, blue) })
	t.Run("forced deletion", func(t *testing.T) { testForcedDeletion(t, e, blue) })
	t.Run("a vanished super pod", func(t *testing.T) { testVanished(t, e, blue) })
	t.Run("services", func(t *testing.T) { testServices(t, e, blue) })
	t.Run("drift is repaired", func(t *testing.T) { testDrift(t, e, blue) })
	t.Run("a foreign object in the way", func(t *testing.T) { testForeignObject(t, e, blue) })
	t.Run("events of the super cluster", func(t *testing.T) { testEvents(t, e, blue) })
	t.Run("a namespace goes", func(t *testing.T) { testNamespaceDeletion(t, e, blue) })
	t.Run("a restart writes nothing", func(t *testing.T) { stop = testQuietRestart(t, e, stop) })
	t.Run("a restart in the middle", func(t *testing.T) { stop = testRestartInTheMiddle(t, e, blue, stop) })
	t.Run("an unreachable tenant", func(t *testing.T) { stop = testUnreachable(t, e, blue, green, stop) })
	t.Run("deletion of a virtual cluster", func(t *testing.T) { testEnd(t, e, blue, green) })
	stop()
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package minors tests that the Kubernetes minors that are shipped can follow
// each other on one database, forward as in an upgrade and back as in a
// rollback, with the real binaries.
package minors

import (
	"strings"
	"testing"
	"time"

	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// TestUpgradeAndRollback: what one minor has written, the other reads, and the
// first reads it again with what the second has written meanwhile. Every object
// of every resource is compared, those of the control plane itself too.
func TestUpgradeAndRollback(t *testing.T) {
	instance := controlplanetest.Start(t, controlplanetest.Options{Minor: controlplanetest.Minor136})
	controlplanetest.InstallCRDs(t, instance.Config)
	c := newTenant(t, instance.Config)
	c.wantVersion(t, "v1.36.")
	c.write(t, "before")
	before := c.everything(t)

	instance.Stop(t)
	restart(t, instance, controlplanetest.MinorNewest)
	c.wantVersion(t, "v1.37.")
	wantKept(t, before, c.everything(t))
	c.read(t, "before")
	c.write(t, "upgraded")
	upgraded := c.everything(t)

	// A rollback follows a new process that does not work: it need not have ended in order.
	instance.Kill(t)
	restart(t, instance, controlplanetest.Minor136)
	c.wantVersion(t, "v1.36.")
	wantKept(t, upgraded, c.everything(t))
	c.read(t, "before")
	c.read(t, "upgraded")
	c.write(t, "rolled-back")
	c.read(t, "rolled-back")
}

// restart says how long the next process takes: so long is a tenant with one
// replica not served.
func restart(t *testing.T, instance *controlplanetest.Instance, minor string) {
	t.Helper()
	started := time.Now()
	instance.RestartAs(t, minor)
	t.Logf("ready after %s", time.Since(started).Round(10*time.Millisecond))
}

func (c *tenant) wantVersion(t *testing.T, prefix string) {
	t.Helper()
	version, err := c.typed.Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version.GitVersion, prefix) {
		t.Fatalf("the API server is %s, want %s*", version.GitVersion, prefix)
	}
}

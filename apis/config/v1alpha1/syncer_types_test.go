// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSyncerDefaults(t *testing.T) {
	checkDefaults(t, &SyncerConfiguration{}, &SyncerConfiguration{})
}

func TestSyncerLoad(t *testing.T) {
	const header = "apiVersion: config.virtualcluster.io/v1alpha1\nkind: SyncerConfiguration\n"
	cases := map[string]struct {
		content string
		wantErr string // empty: no error
	}{
		"header only":            {header, ""},
		"everything set":         {header + "workersPerKind: 1\nresyncPeriod: 1m\ntenantConnection: {qps: 1, burst: 1, probeInterval: 1s, probeFailures: 1}\ndeletionBrake: {percent: 100, minimum: 1, grace: 1s}\ntracing: {endpoint: \"localhost:4317\", samplingRatePerMillion: 1000000}\nsharding: {enabled: true, leaseDuration: 1m}\n", ""},
		"no workers":             {header + "workersPerKind: -1\n", "workersPerKind"},
		"resync all the time":    {header + "resyncPeriod: 1s\n", "resyncPeriod"},
		"negative rate":          {header + "tenantConnection: {qps: -1}\n", "tenantConnection.qps"},
		"negative burst":         {header + "tenantConnection: {burst: -1}\n", "tenantConnection.burst"},
		"negative failures":      {header + "tenantConnection: {probeFailures: -1}\n", "tenantConnection.probeFailures"},
		"probe all the time":     {header + "tenantConnection: {probeInterval: 1ms}\n", "tenantConnection.probeInterval"},
		"collector without port": {header + "tracing: {endpoint: localhost}\n", "tracing.endpoint"},
		"too many traces":        {header + "tracing: {samplingRatePerMillion: 1000001}\n", "tracing.samplingRatePerMillion"},
		"more than all":          {header + "deletionBrake: {percent: 101}\n", "deletionBrake.percent"},
		"negative minimum":       {header + "deletionBrake: {minimum: -1}\n", "deletionBrake.minimum"},
		"negative grace":         {header + "deletionBrake: {grace: -1s}\n", "deletionBrake.grace"},
		"profiles":               {header + "profiling: {bindAddress: \"127.0.0.1:6060\"}\n", ""},
		"profiles for all":       {header + "profiling: {bindAddress: \":6060\"}\n", "profiling.bindAddress"},
		"profiles nowhere":       {header + "profiling: {bindAddress: localhost}\n", "profiling.bindAddress"},
		"lost at once":           {header + "sharding: {leaseDuration: 1s}\n", "sharding.leaseDuration"},
		"lost for long":          {header + "sharding: {leaseDuration: 2m}\n", "sharding.leaseDuration"},
		"unknown field":          {header + "tenantConnection: {timeout: 1s}\n", `unknown field "tenantConnection.timeout"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Load(path, &SyncerConfiguration{})
			switch {
			case tc.wantErr == "" && err != nil:
				t.Errorf("Load: %v", err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("Load: %v, want an error with %q", err, tc.wantErr)
			}
		})
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGatewayDefaults(t *testing.T) {
	checkDefaults(t, &GatewayConfiguration{}, &GatewayConfiguration{})
}

func TestGatewayLoad(t *testing.T) {
	const header = "apiVersion: config.virtualcluster.io/v1alpha1\nkind: GatewayConfiguration\n"
	cases := map[string]struct {
		content string
		wantErr string // empty: no error
	}{
		"header only": {header, ""},
		"everything set": {header + "bindAddress: 127.0.0.1:0\nlimits: {connections: 3, connectionsPerTenant: 2, handshakesPerSource: 1}\n" +
			"timeouts: {handshake: 1s, dial: 1s, keepAlive: 1s, shutdownDelay: 1s, drain: 1s}\nprofiling: {bindAddress: \"127.0.0.1:6060\"}\n", ""},
		"turned off":             {header + "bindAddress: \"0\"\n", "bindAddress"},
		"illegal address":        {header + "bindAddress: nowhere\n", "bindAddress"},
		"negative connections":   {header + "limits: {connections: -1}\n", "limits.connections"},
		"negative per tenant":    {header + "limits: {connectionsPerTenant: -1}\n", "limits.connectionsPerTenant"},
		"negative per source":    {header + "limits: {handshakesPerSource: -1}\n", "limits.handshakesPerSource"},
		"negative handshake":     {header + "timeouts: {handshake: -1s}\n", "timeouts.handshake"},
		"negative drain":         {header + "timeouts: {drain: -1s}\n", "timeouts.drain"},
		"no leader":              {header + "leaderElection: {leaderElect: true}\n", `unknown field "leaderElection"`},
		"profiles for everybody": {header + "profiling: {bindAddress: \":6060\"}\n", "profiling.bindAddress"},
		"unknown field":          {header + "limits: {streams: 1}\n", `unknown field "limits.streams"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Load(path, &GatewayConfiguration{})
			switch {
			case tc.wantErr == "" && err != nil:
				t.Errorf("Load: %v", err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("Load: %v, want an error with %q", err, tc.wantErr)
			}
		})
	}
}

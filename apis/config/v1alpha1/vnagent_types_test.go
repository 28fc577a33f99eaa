// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVNAgentDefaults(t *testing.T) {
	checkDefaults(t, &VNAgentConfiguration{}, &VNAgentConfiguration{})
}

func TestVNAgentLoad(t *testing.T) {
	const header = "apiVersion: config.virtualcluster.io/v1alpha1\nkind: VNAgentConfiguration\n"
	cases := map[string]struct {
		content string
		wantErr string // empty: no error
	}{
		"header only":       {header, ""},
		"no pod IP classes": {header + "portForward: {podIPRuntimeClasses: []}\n", ""},
		"everything set": {header + "nodeAddress: 10.96.0.20\nkubeletAPI: {bindAddress: \"127.0.0.1:0\", certFile: a, keyFile: b, " +
			"streamsPerTenant: 1, idleTimeout: 1m}\n", ""},
		"address is a name":   {header + "nodeAddress: vn-agent\n", "nodeAddress"},
		"API turned off":      {header + "kubeletAPI: {bindAddress: \"0\"}\n", "kubeletAPI.bindAddress"},
		"illegal API address": {header + "kubeletAPI: {bindAddress: nowhere}\n", "kubeletAPI.bindAddress"},
		"negative streams":    {header + "kubeletAPI: {streamsPerTenant: -1}\n", "kubeletAPI.streamsPerTenant"},
		"negative timeout":    {header + "kubeletAPI: {idleTimeout: -1s}\n", "kubeletAPI.idleTimeout"},
		"unknown field":       {header + "kubeletAPI: {port: 1}\n", `unknown field "kubeletAPI.port"`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			config := &VNAgentConfiguration{}
			err := Load(path, config)
			switch {
			case tc.wantErr == "" && err != nil:
				t.Errorf("Load: %v", err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("Load: %v, want an error with %q", err, tc.wantErr)
			}
			if name == "no pod IP classes" && len(*config.PortForward.PodIPRuntimeClasses) != 0 {
				t.Errorf("an empty list was replaced by the default")
			}
		})
	}
}

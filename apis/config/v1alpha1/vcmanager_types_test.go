// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVCManagerDefaults(t *testing.T) {
	checkDefaults(t, &VCManagerConfiguration{}, &VCManagerConfiguration{})
}

func TestVCManagerLoad(t *testing.T) {
	const header = "apiVersion: config.virtualcluster.io/v1alpha1\nkind: VCManagerConfiguration\n"
	cases := map[string]struct {
		content string
		wantErr string // empty: no error
	}{
		"header only":        {header, ""},
		"everything set":     {header + "platformNamespace: other\nconcurrentReconciles: 2\nmetrics: {bindAddress: \"0\"}\n", ""},
		"unknown field":      {header + "concurency: 2\n", `unknown field "concurency"`},
		"wrong case":         {header + "PlatformNamespace: x\n", `unknown field "PlatformNamespace"`},
		"repeated field":     {header + "platformNamespace: a\nplatformNamespace: b\n", "already set"},
		"another kind":       {"apiVersion: config.virtualcluster.io/v1alpha1\nkind: Other\n", `not a "VCManagerConfiguration"`},
		"no kind":            {"platformNamespace: a\n", `not a "VCManagerConfiguration"`},
		"not YAML":           {"{", "decoding configuration"},
		"illegal namespace":  {header + "platformNamespace: A_b\n", "platformNamespace"},
		"illegal address":    {header + "health: {bindAddress: nowhere}\n", "health.bindAddress"},
		"negative rate":      {header + "clientConnection: {qps: -1}\n", "clientConnection.qps"},
		"negative reconcile": {header + "concurrentReconciles: -1\n", "concurrentReconciles"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "config.yaml")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Load(path, &VCManagerConfiguration{})
			switch {
			case tc.wantErr == "" && err != nil:
				t.Errorf("Load: %v", err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("Load: %v, want an error with %q", err, tc.wantErr)
			}
		})
	}
	if err := Load(filepath.Join(t.TempDir(), "absent.yaml"), &VCManagerConfiguration{}); err == nil {
		t.Errorf("a file that does not exist was loaded")
	}
}

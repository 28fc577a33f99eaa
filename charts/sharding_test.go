// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package charts

import (
	"os"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

// TestReplicasOfTheSyncerShareTheTenants, unless the values say otherwise.
func TestReplicasOfTheSyncerShareTheTenants(t *testing.T) {
	off := map[string]any{"sharding": map[string]any{"enabled": false}}
	cases := map[string]struct {
		values map[string]any
		shared bool
	}{
		"one":               {map[string]any{}, false},
		"three":             {map[string]any{"replicas": 3}, true},
		"three, one leads":  {map[string]any{"replicas": 3, "config": off}, false},
		"one that may grow": {map[string]any{"config": map[string]any{"sharding": map[string]any{"enabled": true}}}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objects := mustRender(t, map[string]any{"syncer": tc.values})
			path := filepath.Join(t.TempDir(), "config.yaml")
			content := pick[corev1.ConfigMap](t, objects, "ConfigMap")["syncer"].Data["config.yaml"]
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			config := &configv1alpha1.SyncerConfiguration{}
			if err := configv1alpha1.Load(path, config); err != nil {
				t.Fatal(err)
			}
			if config.Sharding.Enabled != tc.shared {
				t.Errorf("sharding %v, want %v", config.Sharding.Enabled, tc.shared)
			}
			for name, deployment := range pick[appsv1.Deployment](t, objects, "Deployment") {
				if several := name == "syncer" && tc.values["replicas"] != nil; (deployment.Spec.Strategy.RollingUpdate != nil) != several {
					t.Errorf("%s has strategy %+v", name, deployment.Spec.Strategy)
				}
			}
		})
	}
}

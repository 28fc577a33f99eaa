// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// checkDefaults compares the defaults of a kind with testdata/<kind>.yaml, and
// loads that file: a golden default must be a valid configuration. With
// UPDATE_DEFAULTS=true it writes the file.
func checkDefaults(t *testing.T, empty, again Configuration) {
	t.Helper()
	if err := Load("", empty); err != nil {
		t.Fatal(err)
	}
	got, err := yaml.Marshal(empty)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", empty.KindName()+".yaml")
	if os.Getenv("UPDATE_DEFAULTS") == "true" {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("defaults (-%s +now; UPDATE_DEFAULTS=true writes it):\n%s", golden, diff)
	}
	if err := Load(golden, again); err != nil {
		t.Errorf("loading the golden file: %v", err)
	}
	if diff := cmp.Diff(empty, again); diff != "" {
		t.Errorf("the golden file is read as something else: %s", diff)
	}
}

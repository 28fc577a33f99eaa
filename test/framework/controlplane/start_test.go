// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplanetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestMissingBinaryNamesTheRemedy(t *testing.T) {
	t.Setenv("KUBE_BIN", filepath.Join(t.TempDir(), "absent"))
	if _, err := kubeBinary(); err == nil || !strings.Contains(err.Error(), "make build") {
		t.Errorf("kubeBinary: %v, want an error that says how to build it", err)
	}
}

func TestStartAndStop(t *testing.T) {
	var dir string
	t.Run("running", func(t *testing.T) {
		instance := Start(t, Options{})
		dir = instance.Dir
		InstallCRDs(t, instance.Config)
		client, err := kubernetes.NewForConfig(instance.Config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err != nil {
			t.Errorf("getting a namespace: %v", err)
		}
	})
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the control plane left %s behind: %v", dir, err)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplanetest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestMissingBinaryNamesTheRemedy(t *testing.T) {
	t.Setenv("KUBE_BIN", filepath.Join(t.TempDir(), "absent"))
	for _, minor := range []string{MinorNewest, "v1.0"} {
		if _, err := kubeBinary(minor); err == nil || !strings.Contains(err.Error(), "make build") {
			t.Errorf("kubeBinary(%q): %v, want an error that says how to build it", minor, err)
		}
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

// TestStopsWithClientsConnected: clients that watch, and never go by
// themselves, do not keep a control plane from stopping in order. A tenant
// always has such clients; the kubelet kills it after 20 s.
func TestStopsWithClientsConnected(t *testing.T) {
	const limit = 10 * time.Second
	instance := Start(t, Options{})
	client, err := kubernetes.NewForConfig(instance.Config)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		watch, err := client.CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Stop()
	}
	started := time.Now()
	instance.signal(t, syscall.SIGTERM)
	select {
	case <-instance.process.Exited():
	case <-time.After(stopTimeout):
	}
	if took := time.Since(started); took > limit {
		t.Errorf("stopping took %s, want at most %s; the end of its log:\n%s", took, limit, instance.log())
	} else if !instance.process.Exit().Success() {
		t.Errorf("it ended with %s; the end of its log:\n%s", instance.process.Exit(), instance.log())
	} else {
		t.Logf("stopping took %s", took)
	}
}

// TestRestart: what was written before a crash is there after it, also when the
// database has been compacted meanwhile.
func TestRestart(t *testing.T) {
	instance := Start(t, Options{})
	client, err := kubernetes.NewForConfig(instance.Config)
	if err != nil {
		t.Fatal(err)
	}
	before, err := client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	instance.Compact(t)
	instance.Kill(t)
	if _, err := client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{}); err == nil {
		t.Error("a killed control plane answers")
	}
	instance.Restart(t)
	after, err := client.CoreV1().Namespaces().Get(t.Context(), "default", metav1.GetOptions{})
	if err != nil || after.UID != before.UID {
		t.Errorf("namespace %v, error %v, want UID %s", after, err, before.UID)
	}
	watcher, err := client.CoreV1().Namespaces().Watch(t.Context(), metav1.ListOptions{ResourceVersion: before.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	first := <-watcher.ResultChan()
	if err := apierrors.FromObject(first.Object); !apierrors.IsResourceExpired(err) {
		t.Errorf("watching from before the compaction: %s %v, want Expired", first.Type, err)
	}
}

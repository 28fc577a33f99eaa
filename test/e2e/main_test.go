// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
)

// The tests share one local super cluster of their own, below _local-e2e of
// the checkout: `local up` starts it, or finds it up. Afterwards it is removed
// and the machine is looked over for what it may have left behind.
//
// With E2E_KEEP=1 it is kept, and the next run starts at once.
func TestMain(m *testing.M) {
	logf.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := findRepository(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	before, err := lookOver()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: looking over the machine:", err)
		return 1
	}
	if err := passThrough(filepath.Join(binDir, "kubectl-vc"), "local", "up", "--dir", localDir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: the local super cluster did not come up:", err)
		return 1
	}
	if err := connectSuper(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := m.Run()
	if code != 0 {
		diagnose()
	}
	if os.Getenv("E2E_KEEP") != "" {
		return code
	}
	if err := passThrough(filepath.Join(binDir, "kubectl-vc"), "local", "down", "--dir", localDir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: the local super cluster did not go down:", err)
		return 1
	}
	left, err := leftBehind(before)
	if err != nil || len(left) > 0 {
		fmt.Fprintf(os.Stderr, "e2e: local down left behind: %s (%v)\n", strings.Join(left, "; "), err)
		return 1
	}
	return code
}

// findRepository sets the paths of the checkout that the tests run in.
func findRepository() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "charts", "charts.go")); err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return fmt.Errorf("no checkout above the working directory")
		}
		dir = parent
	}
	repository, binDir = dir, filepath.Join(dir, "bin")
	localDir = filepath.Join(dir, "_local-e2e")
	if _, err := os.Stat(filepath.Join(binDir, "kubectl-vc")); err != nil {
		return fmt.Errorf("%w: run `make build images` first", err)
	}
	return nil
}

// connectSuper sets the client of the super cluster.
func connectSuper() error {
	superKubeconfig = filepath.Join(localDir, "kubeconfig")
	config, err := restConfig(superKubeconfig)
	if err != nil {
		return fmt.Errorf("the local super cluster's kubeconfig: %w", err)
	}
	superClient, err = newClient(config)
	superConfig = config
	return err
}

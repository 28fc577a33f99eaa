// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/test/performance/report"
)

const (
	// repository is where the checkout is, seen from this package.
	repository = "../../.."
	// resultFile is where the figures are written, seen from this package.
	resultFile = repository + "/bin/bench-controlplane.json"
)

// results are the figures of this run; TestMain writes them.
var results = &report.Report{}

// Set once by TestMain, read by every benchmark.
var (
	superClient client.WithWatch
	localDir    string
)

// TestMain runs the benchmarks on a local super cluster of their own, which it
// removes afterwards. Without benchmarks it starts none.
func TestMain(m *testing.M) {
	logf.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if os.Getenv("BENCH_CONTROLPLANE") == "" {
		return m.Run() // the unit tests of this package, if any
	}
	root, err := filepath.Abs(repository)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	localDir = filepath.Join(root, "_local-bench")
	plugin := filepath.Join(root, "bin", "kubectl-vc")
	if err := passThrough(plugin, "local", "up", "--dir", localDir); err != nil {
		fmt.Fprintln(os.Stderr, "the local super cluster did not come up:", err)
		return 1
	}
	code := 1
	if err := connectSuper(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	if len(results.Figures) > 0 {
		fmt.Print(results.Table())
	}
	if err := passThrough(plugin, "local", "down", "--dir", localDir); err != nil {
		fmt.Fprintln(os.Stderr, "the local super cluster did not go down:", err)
		return 1
	}
	return code
}

// passThrough runs a program whose output belongs to the run's.
func passThrough(program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func connectSuper() error {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(localDir, "kubeconfig"))
	if err != nil {
		return fmt.Errorf("the local super cluster's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	config.WarningHandler = rest.NoWarnings{}
	all := runtime.NewScheme()
	builder := runtime.NewSchemeBuilder(scheme.AddToScheme, tenancyv1alpha1.AddToScheme)
	if err := builder.AddToScheme(all); err != nil {
		return err
	}
	superClient, err = client.NewWithWatch(config, client.Options{Scheme: all})
	return err
}

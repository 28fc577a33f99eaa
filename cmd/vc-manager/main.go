// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command vc-manager provisions the control planes of VirtualClusters.
package main

import (
	"flag"
	"fmt"
	"os"

	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vc-manager:", err)
		os.Exit(1)
	}
}

// run parses the flags and works until it is told to stop. The flag
// --kubeconfig is controller-runtime's own.
func run() error {
	path := flag.String("config", "", "the VCManagerConfiguration `file`; empty means the defaults")
	verbosity := flag.Int("v", 0, "how much is logged: 0 what happens to virtual clusters, higher for more")
	format := flag.String("log-format", "json", "json or text")
	flag.Parse()
	if *format != "json" && *format != "text" {
		return fmt.Errorf("--log-format %q: must be json or text", *format)
	}
	logger := zap.New(zap.UseDevMode(*format == "text"), zap.Level(zapcore.Level(-*verbosity)))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	config := &configv1alpha1.VCManagerConfiguration{}
	if err := configv1alpha1.Load(*path, config); err != nil {
		return err
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the meta cluster (--kubeconfig, or run in a pod): %w", err)
	}
	ctx := ctrl.SetupSignalHandler()
	mgr, err := controlplane.NewManager(ctx, restConfig, config)
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}

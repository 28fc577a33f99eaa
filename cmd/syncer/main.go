// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command syncer realises the objects of every VirtualCluster in the super cluster and
// reports back what becomes of them.
package main

import (
	"flag"
	"fmt"
	"os"

	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"go.uber.org/zap/zapcore"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "syncer:", err)
		os.Exit(1)
	}
}

// run parses the flags and works until it is told to stop. The flag
// --kubeconfig is controller-runtime's own.
func run() error {
	path := flag.String("config", "", "the SyncerConfiguration `file`; empty means the defaults")
	verbosity := flag.Int("v", 0, "how much is logged: 0 connections and failures, higher for more")
	format := flag.String("log-format", "json", "json or text")
	flag.Parse()
	if *format != "json" && *format != "text" {
		return fmt.Errorf("--log-format %q: must be json or text", *format)
	}
	logger := zap.New(zap.UseDevMode(*format == "text"), zap.Level(zapcore.Level(-*verbosity)))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	config := &configv1alpha1.SyncerConfiguration{}
	if err := configv1alpha1.Load(*path, config); err != nil {
		return err
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the super cluster (--kubeconfig, or run in a pod): %w", err)
	}
	ctx := ctrl.SetupSignalHandler()
	mgr, err := syncer.NewManager(ctx, restConfig, config)
	if err != nil {
		return err
	}
	return mgr.Start(ctx)
}

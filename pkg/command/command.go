// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package command is the one main function of the platform's components: what
// differs between them is a configuration kind and the manager it makes.
package command

import (
	"context"
	"flag"
	"fmt"
	"io"
	goruntime "runtime"

	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

// mutexFraction has one of so many waits for a lock be profiled, where profiles
// are served.
const mutexFraction = 100

// Manager works until its context ends. A nil error means that it was told to stop.
type Manager interface {
	Start(ctx context.Context) error
}

// Run parses the arguments of a component (without its name), loads its
// configuration into configuration and runs the manager that newManager makes
// until SIGTERM or SIGINT. It is called at most once in a process. Errors,
// among them flag.ErrHelp, have been printed nowhere but in what -h writes to output.
func Run[C configv1alpha1.Configuration, M Manager](
	name string, args []string, output io.Writer, configuration C,
	newManager func(ctx context.Context, restConfig *rest.Config, configuration C) (M, error),
) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(output)
	path := flags.String("config", "", "the "+configuration.KindName()+" `file`; empty means the defaults")
	verbosity := flags.Int("v", 0, "how much is logged: 0 what happens to virtual clusters and what fails, higher for more")
	format := flags.String("log-format", "json", "json or text")
	config.RegisterFlags(flags) // --kubeconfig
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *format != "json" && *format != "text" {
		return fmt.Errorf("--log-format %q: must be json or text", *format)
	}
	logger := zap.New(zap.UseDevMode(*format == "text"), zap.Level(zapcore.Level(-*verbosity)))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	if err := configv1alpha1.Load(*path, configuration); err != nil {
		return err
	}
	if configuration.Profiles() {
		goruntime.SetMutexProfileFraction(mutexFraction)
	}
	restConfig, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster to work for (--kubeconfig, or run in a pod): %w", err)
	}
	ctx := ctrl.SetupSignalHandler()
	manager, err := newManager(ctx, restConfig, configuration)
	if err != nil {
		return err
	}
	return manager.Start(ctx)
}

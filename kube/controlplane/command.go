// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	genericapiserver "k8s.io/apiserver/pkg/server"
)

// NewCommand returns the command control-plane. It runs until SIGTERM or
// SIGINT, or until a part of it ends, which is an error.
func NewCommand() *cobra.Command {
	options := NewOptions()
	command := &cobra.Command{
		Use:   "control-plane",
		Short: "Run etcd, kube-apiserver and kube-controller-manager in one process",
		Args:  cobra.NoArgs,
		// An error is about the world, not about how the command is spelled.
		SilenceUsage: true,
		RunE: func(*cobra.Command, []string) error {
			if err := options.Validate(); err != nil {
				return err
			}
			return Run(genericapiserver.SetupSignalContext(), options)
		},
	}
	options.AddFlags(command.Flags())
	return command
}

// parse parses args, which are ours: a flag that is unknown is a defect of
// this package or a change of Kubernetes, so it is reported with its program.
func parse(flags *pflag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("%s: %w", flags.Name(), err)
	}
	return nil
}

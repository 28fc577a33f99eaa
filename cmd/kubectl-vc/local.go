// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"virtualcluster.io/virtualcluster/pkg/local"
)

// newLocalCommand returns `kubectl vc local`: the cluster for laptops, tests and CI.
func newLocalCommand() *cobra.Command {
	options := &local.Options{}
	cmd := &cobra.Command{
		Use:   "local",
		Short: "Run a real single-node super cluster on this machine (Linux, root)",
		// With RunE a word that is no command is an error, not a reason to show the help.
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&options.Dir, "dir", local.DefaultDir, "the folder that holds everything of the cluster")
	cmd.AddCommand(newLocalUpCommand(options), newLocalDownCommand(options), newLocalStatusCommand(options))
	return cmd
}

func newLocalUpCommand(options *local.Options) *cobra.Command {
	var minFree uint64
	platform := true
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the cluster and install the platform; change nothing that is there already",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			options.Out, options.WithoutPlatform, options.MinFree = cmd.OutOrStdout(), !platform, max(minFree<<30, 1)
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return local.Up(ctx, *options)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&options.BinDir, "bin-dir", "", "the folder with kube, containerd and the other programs (default the folder of this program)")
	flags.StringVar(&options.ImagesDir, "images-dir", "", "the folder with the images, *.tar (default images below --bin-dir)")
	flags.IntVar(&options.APIPort, "api-port", local.DefaultAPIPort, "the API server's port at the node's address")
	flags.Uint64Var(&minFree, "min-free", local.DefaultMinFree>>30, "how many GiB must be free below --dir")
	flags.BoolVar(&platform, "platform", true, "install the platform's chart")
	return cmd
}

func newLocalDownCommand(options *local.Options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the cluster and remove everything of it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			options.Out = cmd.OutOrStdout()
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return local.Down(ctx, *options)
		},
	}
	cmd.Flags().BoolVar(&options.KeepData, "keep-data", false, "keep the folder, so that local up starts the same cluster again")
	return cmd
}

func newLocalStatusCommand(options *local.Options) *cobra.Command {
	platform := true
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how every part of the cluster is; exit with 0 only if all are well",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			options.WithoutPlatform = !platform
			report, err := local.Status(cmd.Context(), *options)
			if err != nil {
				return err
			}
			if err := report.Write(cmd.OutOrStdout()); err != nil {
				return fmt.Errorf("writing the report: %w", err)
			}
			if !report.Well() {
				return errors.New("the cluster is not well; local up starts what does not run")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&platform, "platform", true, "look at the platform's Deployments too")
	return cmd
}

// untilSignal ends with the first SIGINT or SIGTERM, so that what was started is undone.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

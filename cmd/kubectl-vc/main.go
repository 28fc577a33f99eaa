// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-vc is the platform's kubectl plugin: `kubectl vc create`,
// `list`, `kubeconfig` and `delete` work on virtual clusters, `local` runs a
// whole platform on this machine.
//
// An error is one line that names the cause and, where there is one, the
// remedy; the exit code is 1.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		stop()
		os.Exit(1)
	}
}

// newRootCommand returns the command with all of its subcommands.
func newRootCommand() *cobra.Command {
	meta := &metaFlags{}
	root := &cobra.Command{
		Use:           "kubectl-vc",
		Short:         "Virtual clusters: whole Kubernetes clusters for tenants",
		SilenceUsage:  true,
		SilenceErrors: true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl vc"},
	}
	meta.addTo(root.PersistentFlags())
	root.AddCommand(
		newCreateCommand(meta),
		newListCommand(meta),
		newKubeconfigCommand(meta),
		newDeleteCommand(meta),
		newLocalCommand(),
		newVersionCommand(),
	)
	return root
}

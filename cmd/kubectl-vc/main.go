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
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log.SetLogger(logr.Discard()) // What a person must know comes as output or as an error.
	root := newRootCommand()
	root.SetArgs(arguments(os.Args))
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "error: %s\n", oneLine(err))
		stop()
		os.Exit(1)
	}
}

// oneLine returns the text of err in one line; libraries like to use several.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
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

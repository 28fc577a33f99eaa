// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// completionName is the name under which kubectl starts this program to
// complete `kubectl vc …`: a link to it, anywhere in PATH.
const completionName = "kubectl_complete-vc"

// arguments returns the arguments of a command line, whose first word is the
// name under which this program was started.
func arguments(commandLine []string) []string {
	if filepath.Base(commandLine[0]) == completionName {
		return append([]string{cobra.ShellCompRequestCmd}, commandLine[1:]...)
	}
	return commandLine[1:]
}

// completeName proposes the virtual clusters of the namespace for the one name
// that a command takes. A meta cluster that does not answer is no reason to
// disturb a person who types: then there is nothing to propose.
func completeName(meta *metaFlags, namespace *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		cluster, err := meta.connect()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return namesIn(cmd, cluster, *namespace), cobra.ShellCompDirectiveNoFileComp
	}
}

func namesIn(cmd *cobra.Command, cluster *metaCluster, namespace string) []string {
	list := &tenancyv1alpha1.VirtualClusterList{}
	if err := cluster.client.List(cmd.Context(), list, client.InNamespace(cluster.key(namespace, "").Namespace)); err != nil {
		return nil
	}
	var names []string
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// listOptions are the flags of list.
type listOptions struct {
	namespace     string
	allNamespaces bool
}

func newListCommand(metaCluster *metaFlags) *cobra.Command {
	o := listOptions{}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List virtual clusters",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := metaCluster.connect()
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), cluster, time.Now(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "", "namespace to list (default: the context's)")
	cmd.Flags().BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "list all namespaces")
	return cmd
}

func (o *listOptions) run(ctx context.Context, cluster *metaCluster, now time.Time, out io.Writer) error {
	list := &tenancyv1alpha1.VirtualClusterList{}
	namespace := cluster.key(o.namespace, "").Namespace
	if o.allNamespaces {
		namespace = ""
	}
	if err := cluster.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return cluster.explain("listing virtual clusters", client.ObjectKey{}, err)
	}
	if len(list.Items) == 0 {
		where := "in namespace " + namespace
		if o.allNamespaces {
			where = "in any namespace"
		}
		fmt.Fprintf(out, "no virtual clusters %s: create one with `kubectl vc create NAME --wait`\n", where)
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, "NAMESPACE\tNAME\tREADY\tVERSION\tPODS\tAGE")
	for i := range list.Items {
		fmt.Fprintln(table, row(&list.Items[i], now))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("writing the list: %w", err)
	}
	return nil
}

func row(vc *tenancyv1alpha1.VirtualCluster, now time.Time) string {
	ready, pods, version := "Unknown", "-", vc.Status.Version
	if c := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionReady); c != nil {
		ready = string(c.Status)
	}
	if !vc.DeletionTimestamp.IsZero() {
		ready = "Deleting"
	}
	if vc.Status.Pods != nil {
		pods = strconv.Itoa(int(*vc.Status.Pods))
	}
	if version == "" {
		version = "-"
	}
	age := duration.HumanDuration(now.Sub(vc.CreationTimestamp.Time))
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", vc.Namespace, vc.Name, ready, version, pods, age)
}

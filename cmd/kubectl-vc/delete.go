// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// deleteOptions are the flags of delete.
type deleteOptions struct {
	namespace string
	wait      bool
	timeout   time.Duration
}

func newDeleteCommand(meta *metaFlags) *cobra.Command {
	o := deleteOptions{}
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a virtual cluster and everything in it",
		Example: "  kubectl vc delete demo --wait",
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, err := meta.connect()
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), cluster, args[0], cmd.OutOrStdout())
		},
	}
	cmd.ValidArgsFunction = completeName(meta, &o.namespace)
	flags := cmd.Flags()
	flags.StringVarP(&o.namespace, "namespace", "n", "", "namespace of the VirtualCluster (default: the context's)")
	flags.BoolVar(&o.wait, "wait", false, "wait until everything of it is gone")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long --wait waits")
	return cmd
}

func (o *deleteOptions) run(ctx context.Context, cluster *metaCluster, name string, out io.Writer) error {
	key := cluster.key(o.namespace, name)
	doing := "deleting virtual cluster " + key.String()
	vc := &tenancyv1alpha1.VirtualCluster{}
	if err := cluster.client.Get(ctx, key, vc); err != nil {
		return cluster.explain(doing, key, err)
	}
	if vc.Spec.DeletionProtection {
		return fmt.Errorf(`%s: it is protected (spec.deletionProtection): everything in it would be lost; to delete it all the same, first run: kubectl -n %s patch virtualcluster %s --type merge -p '{"spec":{"deletionProtection":false}}'`,
			doing, key.Namespace, key.Name)
	}
	// The UID makes sure that a namesake made in the meantime survives.
	if err := cluster.client.Delete(ctx, vc, client.Preconditions{UID: &vc.UID}); client.IgnoreNotFound(err) != nil {
		return cluster.explain(doing, key, err)
	}
	fmt.Fprintf(out, "virtual cluster %s is being deleted\n", key)
	if err := removeTenantKubeconfig(cluster, key); err != nil {
		return err
	}
	if !o.wait {
		return nil
	}
	return waitGone(ctx, cluster, vc, o.timeout, out)
}

// removeTenantKubeconfig removes the file that the kubeconfig command wrote, if it did.
func removeTenantKubeconfig(cluster *metaCluster, key client.ObjectKey) error {
	path, err := cluster.tenantKubeconfigPath(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing kubeconfig: %w", err)
	}
	return nil
}

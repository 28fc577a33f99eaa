// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// createOptions are the flags of create.
type createOptions struct {
	namespace string
	class     string
	version   string
	wait      bool
	timeout   time.Duration
}

func newCreateCommand(meta *metaFlags) *cobra.Command {
	o := createOptions{}
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a virtual cluster",
		Long: "Create a virtual cluster. One that exists already with the same class and version\n" +
			"is left as it is, so the command may be repeated.",
		Example: "  kubectl vc create demo --wait",
		Args:    oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, err := meta.connect()
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), cluster, args[0], cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.namespace, "namespace", "n", "", "namespace of the VirtualCluster (default: the context's)")
	flags.StringVar(&o.class, "class", "", "VirtualClusterClass (default: the class named default)")
	flags.StringVar(&o.version, "version", "", "Kubernetes version, one of the class's (default: the class's default)")
	flags.BoolVar(&o.wait, "wait", false, "wait until it is Ready")
	flags.DurationVar(&o.timeout, "timeout", 3*time.Minute, "how long --wait waits")
	return cmd
}

func (o *createOptions) run(ctx context.Context, cluster *metaCluster, name string, out io.Writer) error {
	key := cluster.key(o.namespace, name)
	vc := &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Spec:       tenancyv1alpha1.VirtualClusterSpec{ClassName: o.class, Version: o.version},
	}
	switch err := cluster.client.Create(ctx, vc); {
	case err == nil:
		fmt.Fprintf(out, "virtual cluster %s created\n", key)
	case apierrors.IsAlreadyExists(err):
		if err := o.checkExisting(ctx, cluster, key); err != nil {
			return err
		}
		fmt.Fprintf(out, "virtual cluster %s exists already, unchanged\n", key)
	default:
		// Not the object is missing here, but its namespace.
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("creating virtual cluster %s: %w: create the namespace first", key, err)
		}
		return cluster.explain("creating virtual cluster "+key.String(), client.ObjectKey{}, err)
	}
	if !o.wait {
		return nil
	}
	return waitReady(ctx, cluster, key, o.timeout, out)
}

// checkExisting makes sure that what exists is what was asked for.
func (o *createOptions) checkExisting(ctx context.Context, cluster *metaCluster, key client.ObjectKey) error {
	vc := &tenancyv1alpha1.VirtualCluster{}
	if err := cluster.client.Get(ctx, key, vc); err != nil {
		return cluster.explain("reading virtual cluster "+key.String(), key, err)
	}
	switch {
	case !vc.DeletionTimestamp.IsZero():
		return fmt.Errorf("virtual cluster %s is being deleted: wait with `kubectl vc delete %s -n %s --wait` and create it again", key, key.Name, key.Namespace)
	case o.class != "" && vc.Spec.ClassName != o.class:
		return fmt.Errorf("virtual cluster %s exists with class %s, not %s: choose another name, or delete it first", key, vc.Spec.ClassName, o.class)
	case o.version != "" && vc.Spec.Version != o.version:
		return fmt.Errorf("virtual cluster %s exists with version %q, not %s: choose another name, or change spec.version", key, vc.Spec.Version, o.version)
	}
	return nil
}

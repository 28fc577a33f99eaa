// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// kubeconfigOptions are the flags of kubeconfig.
type kubeconfigOptions struct {
	namespace string
	merge     bool
}

func newKubeconfigCommand(metaCluster *metaFlags) *cobra.Command {
	o := kubeconfigOptions{}
	cmd := &cobra.Command{
		Use:   "kubeconfig NAME",
		Short: "Write a virtual cluster's kubeconfig to a file and print its path",
		Long: "Write the kubeconfig of a virtual cluster's administrator to a file that only you\n" +
			"can read, and print the path of that file. It does not wait: while the virtual cluster\n" +
			"is not Ready, a note on standard error says so.",
		Example: "  export KUBECONFIG=$(kubectl vc kubeconfig demo)\n" +
			"  kubectl vc kubeconfig demo --merge",
		Args: oneName,
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, err := metaCluster.connect()
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), cluster, args[0], cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.ValidArgsFunction = completeName(metaCluster, &o.namespace)
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "", "namespace of the VirtualCluster (default: the context's)")
	cmd.Flags().BoolVar(&o.merge, "merge", false, "merge it into your own kubeconfig ($KUBECONFIG or ~/.kube/config), make it the current context, and print that path")
	return cmd
}

func (o *kubeconfigOptions) run(ctx context.Context, cluster *metaCluster, name string, out, notes io.Writer) error {
	key := cluster.key(o.namespace, name)
	vc, data, err := readTenantKubeconfig(ctx, cluster, key)
	if err != nil {
		return err
	}
	if !meta.IsStatusConditionTrue(vc.Status.Conditions, tenancyv1alpha1.ConditionReady) {
		fmt.Fprintf(notes, "note: virtual cluster %s is not Ready: %s\n", key, describe(vc.Status.Conditions))
	}
	var path string
	if o.merge {
		path, err = mergeKubeconfig(data, key)
	} else {
		path, err = writeTenantKubeconfig(cluster, key, data)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(out, path)
	return nil
}

// readTenantKubeconfig reads the VirtualCluster and the Secret beside it. If
// there is none yet, the error says what the virtual cluster waits for.
func readTenantKubeconfig(ctx context.Context, cluster *metaCluster, key client.ObjectKey) (*tenancyv1alpha1.VirtualCluster, []byte, error) {
	doing := "reading the kubeconfig of virtual cluster " + key.String()
	vc := &tenancyv1alpha1.VirtualCluster{}
	if err := cluster.client.Get(ctx, key, vc); err != nil {
		return nil, nil, cluster.explain(doing, key, err)
	}
	secret := &corev1.Secret{}
	secretKey := client.ObjectKey{Namespace: key.Namespace, Name: key.Name + tenancyv1alpha1.KubeconfigSecretSuffix}
	if err := cluster.client.Get(ctx, secretKey, secret); err != nil && !apierrors.IsNotFound(err) {
		return nil, nil, cluster.explain(doing, key, err)
	}
	data := secret.Data[tenancyv1alpha1.KeyKubeconfig]
	if len(data) == 0 {
		return nil, nil, fmt.Errorf("%s: there is none yet: %s: wait with `kubectl vc create %s -n %s --wait`", doing, describe(vc.Status.Conditions), key.Name, key.Namespace)
	}
	return vc, data, nil
}

// writeTenantKubeconfig writes the file in one step, readable by its owner only.
func writeTenantKubeconfig(cluster *metaCluster, key client.ObjectKey, data []byte) (string, error) {
	path, err := cluster.tenantKubeconfigPath(key)
	if err != nil {
		return "", err
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("making the folder for kubeconfigs: %w", err)
	}
	file, err := os.CreateTemp(folder, ".kubeconfig-*") // Mode 0600.
	if err != nil {
		return "", fmt.Errorf("writing kubeconfig: %w", err)
	}
	_, writeErr := file.Write(data)
	if err := errors.Join(writeErr, file.Close()); err != nil {
		return "", errors.Join(fmt.Errorf("writing kubeconfig: %w", err), os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return "", fmt.Errorf("writing kubeconfig: %w", err)
	}
	return path, nil
}

// mergeKubeconfig adds the virtual cluster to the user's kubeconfig under the
// name namespace/name, replaces what has that name, and makes it the current context.
func mergeKubeconfig(data []byte, key client.ObjectKey) (string, error) {
	tenant, err := clientcmd.Load(data)
	if err != nil {
		return "", fmt.Errorf("decoding the kubeconfig of virtual cluster %s: %w", key, err)
	}
	current, found := tenant.Contexts[tenant.CurrentContext]
	if !found || tenant.Clusters[current.Cluster] == nil || tenant.AuthInfos[current.AuthInfo] == nil {
		return "", fmt.Errorf("the kubeconfig of virtual cluster %s has no usable current context", key)
	}
	options := clientcmd.NewDefaultPathOptions()
	mine, err := options.GetStartingConfig()
	if err != nil {
		return "", fmt.Errorf("reading your kubeconfig: %w", err)
	}
	name := "vc/" + key.String()
	mine.Clusters[name] = tenant.Clusters[current.Cluster]
	mine.AuthInfos[name] = tenant.AuthInfos[current.AuthInfo]
	mine.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: current.Namespace}
	mine.CurrentContext = name
	if err := clientcmd.ModifyConfig(options, *mine, false); err != nil {
		return "", fmt.Errorf("writing your kubeconfig: %w", err)
	}
	return options.GetDefaultFilename(), nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// metaKubeconfigEnv names the kubeconfig of the meta cluster. It is not
// KUBECONFIG, because that one usually leads to the tenant.
const metaKubeconfigEnv = "VC_META_KUBECONFIG"

// localKubeconfig is where `local up` puts the kubeconfig of its cluster.
const localKubeconfig = "_local/kubeconfig"

// metaFlags say which meta cluster a command works on.
type metaFlags struct {
	// kubeconfig is the path that the user gave; empty if none.
	kubeconfig string
}

func (f *metaFlags) addTo(flags *pflag.FlagSet) {
	flags.StringVar(&f.kubeconfig, "meta-kubeconfig", "",
		"kubeconfig of the cluster that holds the VirtualClusters (default: $"+metaKubeconfigEnv+", then ./"+localKubeconfig+" if it exists, then kubectl's own rules)")
}

// metaCluster is a connection to the cluster that holds the VirtualClusters.
type metaCluster struct {
	// client reads and writes there.
	client client.Client
	// namespace is the one of the kubeconfig's context.
	namespace string
	// server is the URL of its API server.
	server string
	// kubeconfig is the file that named it.
	kubeconfig string
}

// path returns the kubeconfig that was asked for, or "" for kubectl's own rules.
func (f *metaFlags) path() string {
	if f.kubeconfig != "" {
		return f.kubeconfig
	}
	if fromEnv := os.Getenv(metaKubeconfigEnv); fromEnv != "" {
		return fromEnv
	}
	if _, err := os.Stat(localKubeconfig); err == nil {
		return localKubeconfig
	}
	return ""
}

// connect makes the client; it does not yet talk to the server.
func (f *metaFlags) connect() (*metaCluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.path()
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		err = errors.New("found no kubeconfig")
	}
	if err != nil {
		return nil, fmt.Errorf("no meta cluster: %w: name its kubeconfig with --meta-kubeconfig or $%s, or start a local one with `kubectl vc local up`", err, metaKubeconfigEnv)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading the namespace of the kubeconfig: %w", err)
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	metaClient, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the meta cluster %s: %w", config.Host, err)
	}
	file := rules.ExplicitPath
	if file == "" {
		file = rules.GetDefaultFilename()
	}
	return &metaCluster{client: metaClient, namespace: namespace, server: config.Host, kubeconfig: file}, nil
}

// key returns the VirtualCluster's key; an empty namespace means the context's.
func (m *metaCluster) key(namespace, name string) client.ObjectKey {
	if namespace == "" {
		namespace = m.namespace
	}
	return client.ObjectKey{Namespace: namespace, Name: name}
}

// tenantKubeconfigPath returns where the kubeconfig of a virtual cluster is
// written: beside the kubeconfig of the meta cluster, below a folder for its
// server. '_' is in no namespace and in no name, so no two share a file.
func (m *metaCluster) tenantKubeconfigPath(key client.ObjectKey) (string, error) {
	server := m.server
	if parsed, err := url.Parse(server); err == nil && parsed.Host != "" {
		server = parsed.Host
	}
	server = strings.NewReplacer(":", "_", "/", "_", "[", "", "]", "").Replace(server)
	path := filepath.Join(filepath.Dir(m.kubeconfig), "virtualclusters", server, key.Namespace+"_"+key.Name+".kubeconfig")
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("finding the current directory: %w", err)
	}
	return absolute, nil
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, tenancyv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, fmt.Errorf("building the scheme: %w", err)
		}
	}
	return scheme, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"fmt"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// KubeconfigInput is what a kubeconfig says.
type KubeconfigInput struct {
	// Server is the URL of the API server.
	Server string
	// TLSServerName is the name that the client asks for and that the server's
	// certificate must carry. Empty means the host of Server.
	TLSServerName string
	// CA are the PEM certificates of the authorities that may have signed the
	// server's certificate. They are always written: a kubeconfig pins its server.
	CA []byte
	// ClientCert and ClientKey are the user's PEM pair.
	ClientCert, ClientKey []byte
	// ClusterName and UserName are the names of the entries; the context is
	// called UserName@ClusterName.
	ClusterName, UserName string
	// Namespace of the context. Empty means default.
	Namespace string
}

// Kubeconfig writes a kubeconfig file with one context, all data inline.
func Kubeconfig(in KubeconfigInput) ([]byte, error) {
	if in.Server == "" || len(in.CA) == 0 {
		return nil, fmt.Errorf("writing the kubeconfig of %q: Server and CA must not be empty", in.ClusterName)
	}
	name := in.UserName + "@" + in.ClusterName
	config := clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			in.ClusterName: {Server: in.Server, TLSServerName: in.TLSServerName, CertificateAuthorityData: in.CA},
		},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{
			in.UserName: {ClientCertificateData: in.ClientCert, ClientKeyData: in.ClientKey},
		},
		Contexts: map[string]*clientcmdapi.Context{
			name: {Cluster: in.ClusterName, AuthInfo: in.UserName, Namespace: in.Namespace},
		},
		CurrentContext: name,
	}
	out, err := clientcmd.Write(config)
	if err != nil {
		return nil, fmt.Errorf("writing the kubeconfig of %q: %w", in.ClusterName, err)
	}
	return out, nil
}

// KubeconfigPair returns the client certificate and key (PEM) of the current
// context of a kubeconfig that Kubeconfig wrote, or nothing if it has none or
// cannot be read.
func KubeconfigPair(kubeconfig []byte) (certPEM, keyPEM []byte) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, nil
	}
	context := config.Contexts[config.CurrentContext]
	if context == nil || config.AuthInfos[context.AuthInfo] == nil {
		return nil, nil
	}
	user := config.AuthInfos[context.AuthInfo]
	return user.ClientCertificateData, user.ClientKeyData
}

// KubeconfigServer returns where the current context of a kubeconfig that
// Kubeconfig wrote leads: Server and TLSServerName, or nothing if it cannot be read.
func KubeconfigServer(kubeconfig []byte) (server, tlsServerName string) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return "", ""
	}
	context := config.Contexts[config.CurrentContext]
	if context == nil || config.Clusters[context.Cluster] == nil {
		return "", ""
	}
	cluster := config.Clusters[context.Cluster]
	return cluster.Server, cluster.TLSServerName
}

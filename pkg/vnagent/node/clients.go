// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// requestTimeout bounds every request to a tenant but the watch. It is well
// below the lease's duration, so one lost request does not lose the lease.
const requestTimeout = 10 * time.Second

// tenantClients are the clients for one tenant.
type tenantClients struct {
	// requests has a timeout.
	requests kubernetes.Interface
	// watches has none.
	watches kubernetes.Interface
	// close gives back the connections.
	close func()
}

// newTenantClients makes the clients of a kubeconfig. The kubeconfig must carry
// its credentials itself: one that names files, commands or a proxy of this
// process's surroundings is refused.
func newTenantClients(kubeconfig []byte) (*tenantClients, error) {
	config, err := tenantConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	watching, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making the tenant's transport: %w", err)
	}
	requesting := *watching
	requesting.Timeout = requestTimeout
	watches, err := kubernetes.NewForConfigAndClient(config, watching)
	if err != nil {
		return nil, fmt.Errorf("making the tenant's client: %w", err)
	}
	requests, err := kubernetes.NewForConfigAndClient(config, &requesting)
	if err != nil {
		return nil, fmt.Errorf("making the tenant's client: %w", err)
	}
	return &tenantClients{
		requests: requests, watches: watches,
		close: func() { utilnet.CloseIdleConnectionsFor(watching.Transport) },
	}, nil
}

func tenantConfig(kubeconfig []byte) (*rest.Config, error) {
	raw, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, errors.New("the tenant's kubeconfig cannot be parsed") // the cause would quote it
	}
	for _, user := range raw.AuthInfos {
		if user.Exec != nil || user.AuthProvider != nil || user.TokenFile != "" || user.ClientCertificate != "" || user.ClientKey != "" {
			return nil, errors.New("the tenant's kubeconfig refers to files or commands")
		}
	}
	for _, cluster := range raw.Clusters {
		if cluster.CertificateAuthority != "" || cluster.ProxyURL != "" || cluster.InsecureSkipTLSVerify {
			return nil, errors.New("the tenant's kubeconfig refers to files or a proxy, or does not verify the server")
		}
	}
	return configFrom(raw)
}

func configFrom(raw *clientcmdapi.Config) (*rest.Config, error) {
	config, err := clientcmd.NewDefaultClientConfig(*raw, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the tenant's kubeconfig: %w", err)
	}
	config.UserAgent = "vn-agent"
	config.QPS, config.Burst = 20, 50
	// A proxy function keeps the transport out of client-go's global cache,
	// which would hold it after the tenant has gone. There is never a proxy.
	config.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	return config, nil
}

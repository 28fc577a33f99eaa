// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// dialTimeout bounds one TCP connection.
const dialTimeout = 3 * time.Second

// errOutside is returned for a kubeconfig that would have the syncer run a
// program or read a file.
var errOutside = errors.New("it must hold its credentials itself, without exec, auth-provider or paths")

// ready is what an API server that is ready answers at /readyz.
const ready = "ok"

// errNonsense is returned for an answer that an API server does not give.
var errNonsense = errors.New("it answers, but not as an API server does: /readyz did not say " + ready)

// kubeconfig reads the tenant's kubeconfig, live: caching it would mean caching
// every Secret of the meta cluster, and a renewed one must be seen at once.
func (f *Fleet) kubeconfig(ctx context.Context, controlPlaneNamespace string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, f.options.ProbeTimeout)
	defer cancel()
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: controlPlaneNamespace, Name: tenancyv1alpha1.SecretSyncerKubeconfig}
	if err := f.options.SecretReader.Get(ctx, key, &secret); err != nil {
		return nil, fmt.Errorf("getting secret %s: %w", key, err)
	}
	return secret.Data[tenancyv1alpha1.KeyKubeconfig], nil
}

// restConfig makes a configuration of a kubeconfig.
func (f *Fleet) restConfig(kubeconfig []byte) (*rest.Config, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	if config.ExecProvider != nil || config.AuthProvider != nil || config.BearerTokenFile != "" ||
		config.CertFile != "" || config.KeyFile != "" || config.CAFile != "" {
		return nil, errOutside
	}
	config.QPS, config.Burst = f.options.QPS, f.options.Burst
	config.UserAgent = f.options.UserAgent
	// API servers compress watches, too, which costs both sides more than a network
	// within a cluster does.
	config.DisableCompression = true
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}).DialContext
	return config, nil
}

// connect makes the cluster object and proves that the tenant answers. It
// returns the kubeconfig that it used, too.
func (f *Fleet) connect(ctx context.Context, controlPlaneNamespace string) (cluster.Cluster, []byte, error) {
	select {
	case f.dialSlots <- struct{}{}:
		defer func() { <-f.dialSlots }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	kubeconfig, err := f.kubeconfig(ctx, controlPlaneNamespace)
	if err != nil {
		return nil, nil, err
	}
	config, err := f.restConfig(kubeconfig)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the kubeconfig in secret %s/%s: %w", controlPlaneNamespace, tenancyv1alpha1.SecretSyncerKubeconfig, err)
	}
	connection, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, nil, fmt.Errorf("making the tenant's connection: %w", err)
	}
	prober, err := f.newProber(config, connection)
	if err != nil {
		return nil, nil, err
	}
	if err := prober.probe(ctx); err != nil {
		utilnet.CloseIdleConnectionsFor(connection.Transport)
		return nil, nil, err
	}
	cl, err := cluster.New(config, f.options.Cluster, func(o *cluster.Options) { o.HTTPClient = connection })
	if err != nil {
		return nil, nil, fmt.Errorf("making the tenant's client: %w", err)
	}
	for _, index := range f.snapshotIndexes() {
		if err := cl.GetFieldIndexer().IndexField(ctx, index.object, index.field, index.extract); err != nil {
			return nil, nil, fmt.Errorf("indexing %s: %w", index.field, err)
		}
	}
	return cl, kubeconfig, nil
}

// prober asks a tenant's API server whether it is ready.
type prober struct {
	client  rest.Interface
	timeout time.Duration
}

// newProber returns a prober over the connection that all requests of the
// session use: one that hangs must not be hidden by another that works, and a
// handshake for every probe would cost both sides.
func (f *Fleet) newProber(config *rest.Config, connection *http.Client) (*prober, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion, config.NegotiatedSerializer = &schema.GroupVersion{}, scheme.Codecs
	client, err := rest.UnversionedRESTClientForConfigAndClient(config, connection)
	if err != nil {
		return nil, fmt.Errorf("making the probe's client: %w", err)
	}
	return &prober{client: client, timeout: f.options.ProbeTimeout}, nil
}

// probe asks once. The status code alone is not enough: whatever stands in for
// an API server that is gone may say 200 to everything, and nothing that it says
// can be read.
func (p *prober) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	answer, err := p.client.Get().AbsPath("/readyz").DoRaw(ctx)
	if err == nil && string(answer) != ready {
		err = errNonsense // what it says is not repeated: nobody knows whose words they are
	}
	if err != nil {
		return fmt.Errorf("probing the tenant's API server: %w", err)
	}
	return nil
}

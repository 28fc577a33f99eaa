// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// shutdownMargin is what closing connections may take after they were drained.
const shutdownMargin = 5 * time.Second

// What the gateway may do in the meta cluster: know where the tenants are. It
// reads no Secret and writes nothing.
//
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusters,verbs=get;list;watch

// NewManager returns a manager for the meta cluster of restConfig with the
// gateway, /healthz, /readyz and metrics added. Start it to work.
func NewManager(ctx context.Context, restConfig *rest.Config, config *configv1alpha1.GatewayConfiguration) (ctrl.Manager, error) {
	limited := rest.CopyConfig(restConfig)
	limited.QPS, limited.Burst = float32(config.ClientConnection.QPS), int(config.ClientConnection.Burst)
	options, err := managerOptions(config)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(limited, options)
	if err != nil {
		return nil, fmt.Errorf("building the manager: %w", err)
	}
	counted, err := NewMetrics(metrics.Registry)
	if err != nil {
		return nil, fmt.Errorf("registering metrics: %w", err)
	}
	routes := NewRoutes(counted, int(config.Limits.ConnectionsPerTenant))
	synced, err := watch(ctx, mgr.GetCache(), routes)
	if err != nil {
		return nil, err
	}
	server := NewServer(Options{
		Address:             config.BindAddress,
		Connections:         int(config.Limits.Connections),
		HandshakesPerSource: int(config.Limits.HandshakesPerSource),
		Handshake:           config.Timeouts.Handshake.Duration,
		Dial:                config.Timeouts.Dial.Duration,
		KeepAlive:           config.Timeouts.KeepAlive.Duration,
		ShutdownDelay:       config.Timeouts.ShutdownDelay.Duration,
		Drain:               config.Timeouts.Drain.Duration,
		Synced:              synced,
		Routes:              routes,
		Metrics:             counted,
		Clock:               clock.RealClock{},
	})
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	if err := mgr.AddReadyzCheck("serving", server.Ready); err != nil {
		return nil, err
	}
	return mgr, mgr.Add(server)
}

// managerOptions maps the configuration to the manager's options.
func managerOptions(config *configv1alpha1.GatewayConfiguration) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	if err := tenancyv1alpha1.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, fmt.Errorf("adding tenancy types to the scheme: %w", err)
	}
	shutdown := config.Timeouts.ShutdownDelay.Duration + config.Timeouts.Drain.Duration + shutdownMargin
	return ctrl.Options{
		Scheme:                  scheme,
		Cache:                   cache.Options{DefaultTransform: strip},
		Metrics:                 metricsserver.Options{BindAddress: config.Metrics.BindAddress},
		HealthProbeBindAddress:  config.Health.BindAddress,
		PprofBindAddress:        config.Profiling.BindAddress,
		GracefulShutdownTimeout: &shutdown,
	}, nil
}

// strip keeps of a VirtualCluster what routes are made of.
func strip(object any) (any, error) {
	virtualCluster, ok := object.(*tenancyv1alpha1.VirtualCluster)
	if !ok {
		return object, nil
	}
	return &tenancyv1alpha1.VirtualCluster{
		TypeMeta: virtualCluster.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Namespace: virtualCluster.Namespace, Name: virtualCluster.Name, UID: virtualCluster.UID,
			ResourceVersion: virtualCluster.ResourceVersion, DeletionTimestamp: virtualCluster.DeletionTimestamp,
		},
		Spec:   tenancyv1alpha1.VirtualClusterSpec{ControlPlane: virtualCluster.Spec.ControlPlane},
		Status: tenancyv1alpha1.VirtualClusterStatus{ControlPlane: virtualCluster.Status.ControlPlane},
	}, nil
}

// watch fills routes with what the cache learns, and returns a function that
// waits until they are complete.
func watch(ctx context.Context, informers cache.Informers, routes *Routes) (func(context.Context) bool, error) {
	informer, err := informers.GetInformer(ctx, &tenancyv1alpha1.VirtualCluster{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching virtual clusters: %w", err)
	}
	registration, err := informer.AddEventHandler(routes)
	if err != nil {
		return nil, fmt.Errorf("watching virtual clusters: %w", err)
	}
	return func(ctx context.Context) bool { return toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) }, nil
}

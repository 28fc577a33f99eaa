// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controlplane is vc-manager: it provisions tenants' control planes.
// Setup joins its parts; package reconciler does the work, component says what
// a control plane is made of, and pki makes its keys.
package controlplane

import (
	"context"
	"fmt"
	"net"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/external"
	"virtualcluster.io/virtualcluster/pkg/controlplane/members"
	"virtualcluster.io/virtualcluster/pkg/controlplane/reconciler"
	"virtualcluster.io/virtualcluster/pkg/leader"
)

// leaseName is the Lease by which replicas elect the one that works.
const leaseName = "vc-manager"

// NewManager returns a manager for the cluster of restConfig with everything
// of vc-manager added: controllers, /healthz, /readyz and metrics. Start it to work.
func NewManager(ctx context.Context, restConfig *rest.Config, config *configv1alpha1.VCManagerConfiguration) (ctrl.Manager, error) {
	limited := rest.CopyConfig(restConfig)
	limited.QPS, limited.Burst = float32(config.ClientConnection.QPS), int(config.ClientConnection.Burst)
	options, err := ManagerOptions(limited, config)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(limited, options)
	if err != nil {
		return nil, fmt.Errorf("building the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, Setup(ctx, mgr, config, Reach{
		Probe:        reconciler.ProbeReadyz,
		ProbeName:    reconciler.ProbeServerName,
		Dial:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		Members:      members.Connect,
		DialExternal: external.Dialer(),
	})
}

// dialTimeout bounds one TCP connection to a tenant.
const dialTimeout = 3 * time.Second

// Reach is how the controllers reach the control planes they made.
type Reach struct {
	// Probe asks the API server at address (host:port), which ca (PEM) must have
	// certified, whether it is ready.
	Probe func(ctx context.Context, address string, ca []byte) error
	// ProbeName asks the API server at address (host:port) for a certificate that
	// ca (PEM) signed for name.
	ProbeName func(ctx context.Context, address, name string, ca []byte) error
	// Dial opens a connection to an API server.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Members connects to a member of a control plane's database.
	Members func(ctx context.Context, endpoint members.Endpoint) (members.Database, error)
	// DialExternal opens a connection to a server that a user named.
	DialExternal external.DialFunc
}

// Setup adds the controllers to mgr, which was made with ManagerOptions.
func Setup(ctx context.Context, mgr ctrl.Manager, config *configv1alpha1.VCManagerConfiguration, reach Reach) error {
	certificates, err := reconciler.NewMetrics(metrics.Registry)
	if err != nil {
		return err
	}
	agentServing := &reconciler.AgentServing{
		Client:    mgr.GetClient(),
		APIReader: mgr.GetAPIReader(),
		Namespace: config.PlatformNamespace,
		Clock:     clock.RealClock{},
		Metrics:   certificates,
	}
	if err := agentServing.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("adding the agent-serving controller: %w", err)
	}
	virtualClusters := &reconciler.Reconciler{
		Client:    mgr.GetClient(),
		APIReader: mgr.GetAPIReader(),
		Recorder:  mgr.GetEventRecorder(reconciler.FieldManager),
		Clock:     clock.RealClock{},
		Probe:     reach.Probe,
		Members:   reach.Members,
		ProbeName: reach.ProbeName,
		AgentCA:   agentServing.CA,
		Metrics:   certificates,

		PlatformNamespace: config.PlatformNamespace,
		DialExternal:      reach.DialExternal,
	}
	if err := virtualClusters.SetupWithManager(ctx, mgr, int(config.ConcurrentReconciles)); err != nil {
		return fmt.Errorf("adding the virtualcluster controller: %w", err)
	}
	classes := &reconciler.Classes{Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: clock.RealClock{}}
	if err := classes.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("adding the classes controller: %w", err)
	}
	tenantDNS := &reconciler.DNS{
		Client:    mgr.GetClient(),
		APIReader: mgr.GetAPIReader(),
		Recorder:  mgr.GetEventRecorder(reconciler.FieldManager),
		Clock:     clock.RealClock{},
		Dial:      reach.Dial,
	}
	if err := tenantDNS.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("adding the dns controller: %w", err)
	}
	return nil
}

// ManagerOptions maps the configuration to the manager's options.
func ManagerOptions(restConfig *rest.Config, config *configv1alpha1.VCManagerConfiguration) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, fmt.Errorf("adding Kubernetes types to the scheme: %w", err)
	}
	if err := tenancyv1alpha1.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, fmt.Errorf("adding tenancy types to the scheme: %w", err)
	}
	options := ctrl.Options{
		Scheme:                 scheme,
		Cache:                  cacheOptions(),
		Metrics:                metricsserver.Options{BindAddress: config.Metrics.BindAddress},
		HealthProbeBindAddress: config.Health.BindAddress,
		PprofBindAddress:       config.Profiling.BindAddress,
	}
	if _, err := leader.Elect(&options, restConfig, config.LeaderElection, leaseName); err != nil {
		return ctrl.Options{}, err
	}
	return options, nil
}

// cacheOptions limits the cache to what vc-manager made: the meta cluster may
// be the super cluster, with every tenant's pods and Secrets in it.
func cacheOptions() cache.Options {
	own := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{
		tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager,
	})}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Namespace{}:             own,
			&corev1.Secret{}:                own,
			&corev1.Service{}:               own,
			&corev1.Pod{}:                   own,
			&appsv1.StatefulSet{}:           own,
			&corev1.ConfigMap{}:             own,
			&networkingv1.NetworkPolicy{}:   own,
			&policyv1.PodDisruptionBudget{}: own,
			&corev1.Node{}:                  {Transform: stripNode},
		},
	}
}

// stripNode keeps of a node only what endpoints are made of.
func stripNode(object any) (any, error) {
	node, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		TypeMeta: node.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Name: node.Name, UID: node.UID, ResourceVersion: node.ResourceVersion,
		},
		Status: corev1.NodeStatus{Addresses: node.Status.Addresses, Conditions: node.Status.Conditions},
	}, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package syncer joins the parts of the syncer: the fleet of tenants, the
// engine, the kinds and the life cycle of VirtualClusters.
package syncer

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	mcmanager "sigs.k8s.io/multicluster-runtime/pkg/manager"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/leader"
	"virtualcluster.io/virtualcluster/pkg/shard"
	"virtualcluster.io/virtualcluster/pkg/syncer/dynamic"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kinds"
	"virtualcluster.io/virtualcluster/pkg/syncer/lifecycle"
	"virtualcluster.io/virtualcluster/pkg/syncer/stored"
)

// leaseName is the Lease by which replicas agree on the one that works, or the
// first of those by which they divide the tenants.
const leaseName = "syncer"

// What the syncer may do in the super cluster. What it may do in a tenant is
// the tenant's kubeconfig's to say.
//
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusters,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusters/status,verbs=patch
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusterclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces;pods;configmaps;secrets;services;persistentvolumeclaims,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=pods/ephemeralcontainers;pods/resize;pods/status,verbs=patch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingresses;networkpolicies,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=events,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=persistentvolumes,verbs=get;list;watch
// +kubebuilder:rbac:groups=storage.k8s.io,resources=storageclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=scheduling.k8s.io,resources=priorityclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=node.k8s.io,resources=runtimeclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=networking.k8s.io,resources=ingressclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=get;list;watch
// +kubebuilder:rbac:groups="",namespace=vc-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=vc-system,resources=leases,verbs=create;list
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=vc-system,resources=leases,resourceNames=syncer,verbs=get;update;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=vc-system,resources=leases,resourceNames=syncer-1;syncer-2;syncer-3;syncer-4;syncer-5;syncer-6;syncer-7;syncer-8;syncer-9;syncer-10;syncer-11;syncer-12;syncer-13;syncer-14;syncer-15,verbs=patch

// NewManager returns a manager that runs the syncer against the super cluster
// of restConfig. Start it once; it ends when the context does, having released
// its Lease.
func NewManager(ctx context.Context, restConfig *rest.Config, config *configv1alpha1.SyncerConfiguration) (mcmanager.Manager, error) {
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	superConfig := rest.CopyConfig(restConfig)
	superConfig.UserAgent = "virtualcluster-syncer"
	superConfig.DisableCompression = true // see fleet.restConfig
	superConfig.Wrap(engine.HandBackThrottling)
	superConfig.QPS, superConfig.Burst = float32(config.ClientConnection.QPS), int(config.ClientConnection.Burst)
	all := kinds.All()
	transforms := stored.NewTransforms()
	options := managerOptions(scheme, all, transforms, config)
	var replicas *shard.Group // nil: this replica serves all tenants
	var term *leader.Term
	if config.Sharding.Enabled {
		replicas, err = newGroup(restConfig, scheme, config)
	} else {
		term, err = leader.Elect(&options, superConfig, config.LeaderElection, leaseName)
	}
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(superConfig, options)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	return setup(ctx, mgr, all, replicas, sole(replicas, term), transforms, config)
}

func managerOptions(scheme *runtime.Scheme, all []*kind.Translator, transforms *stored.Transforms, config *configv1alpha1.SyncerConfiguration) ctrl.Options {
	skipNameValidation := true // a process may hold a second syncer, as tests do
	options := ctrl.Options{
		Scheme:                 scheme,
		Cache:                  superCache(all, transforms),
		NewClient:              newClient,
		Metrics:                metricsserver.Options{BindAddress: config.Metrics.BindAddress},
		HealthProbeBindAddress: config.Health.BindAddress,
		PprofBindAddress:       config.Profiling.BindAddress,
	}
	options.Controller.SkipNameValidation = &skipNameValidation
	return options
}

// setup adds the parts to the manager. It is the only place that joins them.
func setup(ctx context.Context, mgr ctrl.Manager, all []*kind.Translator, replicas *shard.Group, sole func(id string) bool, transforms *stored.Transforms, config *configv1alpha1.SyncerConfiguration) (mcmanager.Manager, error) {
	tenants := fleet.New(fleet.Options{
		MetaReader:    mgr.GetClient(),
		SecretReader:  mgr.GetAPIReader(),
		Cluster:       tenantCluster(mgr.GetScheme(), transforms),
		UserAgent:     "virtualcluster-syncer",
		QPS:           float32(config.TenantConnection.QPS),
		Burst:         int(config.TenantConnection.Burst),
		ProbeInterval: config.TenantConnection.ProbeInterval.Duration,
		ProbeFailures: int(config.TenantConnection.ProbeFailures),
		Owns:          owns(replicas),
	})
	if err := errors.Join(engine.IndexReferences(ctx, tenants, all), engine.IndexSuper(ctx, mgr.GetFieldIndexer(), all), lifecycle.IndexPods(ctx, mgr.GetFieldIndexer())); err != nil {
		return nil, fmt.Errorf("making indexes: %w", err)
	}
	tracer, err := tracing(ctx, mgr, config.Tracing)
	if err != nil {
		return nil, err
	}
	options := engineOptions(mgr, config)
	options.Kinds, options.Tracer, options.Sole = all, tracer, sole
	syncEngine, err := engine.New(options)
	if err != nil {
		return nil, fmt.Errorf("making the engine: %w", err)
	}
	custom := customResources(mgr, options)
	multi, err := mcmanager.WithMultiCluster(mgr, tenants)
	if err != nil {
		return nil, fmt.Errorf("making the multi-cluster manager: %w", err)
	}
	lifecycles := lifecycle.New(lifecycle.Options{
		SuperClient: mgr.GetClient(), SuperReader: mgr.GetAPIReader(), Connections: tenants, Synced: syncEngine.Synced,
		Held: heldBy(syncEngine, custom), Recorder: mgr.GetEventRecorder("syncer"), Owns: owns(replicas),
	})
	return multi, errors.Join(
		multi.Add(syncEngine),
		multi.Add(custom),
		tenants.SetupWithManager(mgr),
		lifecycles.SetupWithManager(mgr),
		mgr.AddHealthzCheck("ping", func(*http.Request) error { return nil }),
		mgr.AddReadyzCheck("ping", func(*http.Request) error { return nil }),
		mgr.Add(newHeap()),
		share(mgr, replicas, tenants),
	)
}

// engineOptions are those of every engine in this process, but for their kinds.
func engineOptions(mgr ctrl.Manager, config *configv1alpha1.SyncerConfiguration) engine.Options {
	return engine.Options{
		Super: mgr, Workers: int(config.WorkersPerKind),
		ResyncPeriod: config.ResyncPeriod.Duration, Registerer: metrics.Registry,
		Brake: engine.BrakePolicy{
			Percent: int(config.DeletionBrake.Percent), Minimum: int(config.DeletionBrake.Minimum), Grace: config.DeletionBrake.Grace.Duration,
		},
		Records: func(ctx context.Context, virtualCluster types.NamespacedName) (engine.HoldRecord, error) {
			return lifecycle.Record(ctx, mgr.GetClient(), virtualCluster)
		},
	}
}

// customResources runs the kinds that classes name, each in an engine with
// these options.
func customResources(mgr ctrl.Manager, options engine.Options) *dynamic.Runner {
	options.Secondary = true
	return dynamic.New(dynamic.Options{
		Super: mgr,
		NewEngine: func(super cluster.Cluster, custom *kind.Translator) (*engine.Engine, error) {
			one := options
			one.Super, one.Kinds = super, []*kind.Translator{custom}
			return engine.New(one)
		},
	})
}

// heldBy asks the engine of all tenants first, and then those of custom resources.
func heldBy(all *engine.Engine, custom *dynamic.Runner) func(id string) (*engine.Hold, bool) {
	return func(id string) (*engine.Hold, bool) {
		hold, known := all.Held(id)
		if hold == nil && known {
			hold = custom.Held(id)
		}
		return hold, known
	}
}

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), tenancyv1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("making the scheme: %w", err)
	}
	return scheme, nil
}

// superCache holds, of the kinds that go down, only what the syncer stamped: a
// watch for each kind, however many tenants there are, and nothing of the
// super cluster's own. Of the kinds that go up it holds what the kind asks for.
func superCache(all []*kind.Translator, transforms *stored.Transforms) cache.Options {
	byObject := map[client.Object]cache.ByObject{}
	for _, k := range all {
		switch {
		case k.Direction == kind.Down:
			byObject[k.New()] = cache.ByObject{Label: identity.Selector(), UnsafeDisableDeepCopy: shared()}
		case k.Fields != nil:
			byObject[k.New()] = cache.ByObject{Field: k.Fields, UnsafeDisableDeepCopy: shared()}
		}
	}
	return cache.Options{DefaultTransform: transforms.Transform(), ByObject: byObject}
}

// tenantCluster configures the client and the cache of each tenant.
func tenantCluster(scheme *runtime.Scheme, transforms *stored.Transforms) cluster.Option {
	return func(o *cluster.Options) {
		o.Scheme = scheme
		o.NewClient = newClient
		o.Cache.DefaultTransform = transforms.Transform()
		o.Cache.DefaultUnsafeDisableDeepCopy = shared()
		o.Cache.NewInformer = stored.NewInformer
	}
}

// shared has readers get what is in a cache, not a copy of it: a pod is looked
// at ten times in its life. Whoever changes an object copies it first; with
// KUBE_CACHE_MUTATION_DETECTOR=true a process panics where one did not.
func shared() *bool {
	yes := true
	return &yes
}

// sole tells whether no other replica can be serving a tenant now.
func sole(replicas *shard.Group, term *leader.Term) func(id string) bool {
	if replicas != nil {
		return replicas.Owns
	}
	return func(string) bool { return term.Sure() }
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package vnagent is vn-agent: it keeps a virtual node in each tenant's control
// plane and serves that node's kubelet API. NewManager joins its parts: package
// node keeps the nodes, tenantauth knows who calls, kubeletapi understands what
// is asked, and upstream leads it to the super cluster.
//
// The parts do not know each other: they meet here, through functions.
package vnagent

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/leader"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/vnagent/kubeletapi"
	"virtualcluster.io/virtualcluster/pkg/vnagent/node"
	"virtualcluster.io/virtualcluster/pkg/vnagent/tenantauth"
	"virtualcluster.io/virtualcluster/pkg/vnagent/upstream"
)

// leaseName is the Lease by which replicas elect the one that keeps the nodes.
// All of them serve the kubelet API.
const leaseName = "vn-agent"

// nodeWorkers is how many virtual clusters are reconciled at the same time; the
// waiting for tenants is done by their agents.
const nodeWorkers = 4

// What the agent may do in the super cluster. In particular it may not use
// nodes/proxy, list Secrets or pods, or read a Secret of another name.
//
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusters;virtualclusterclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=tenancy.virtualcluster.io,resources=virtualclusters/status,verbs=patch
// +kubebuilder:rbac:groups="",resources=secrets,resourceNames=vn-agent-kubeconfig,verbs=get
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods;pods/log,verbs=get
// +kubebuilder:rbac:groups="",resources=pods/exec;pods/attach;pods/portforward,verbs=get;create
// +kubebuilder:rbac:groups="",namespace=vc-system,resources=services,resourceNames=vn-agent,verbs=get
// +kubebuilder:rbac:groups="",namespace=vc-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=events.k8s.io,namespace=vc-system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=vc-system,resources=leases,verbs=create
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=vc-system,resources=leases,resourceNames=vn-agent,verbs=get;update;patch

// NewManager returns a manager for the super cluster of restConfig with
// everything of vn-agent added: the nodes, the kubelet API, /healthz, /readyz
// and metrics. Start it to work.
func NewManager(_ context.Context, restConfig *rest.Config, config *configv1alpha1.VNAgentConfiguration) (ctrl.Manager, error) {
	limited := rest.CopyConfig(restConfig)
	limited.QPS, limited.Burst = float32(config.ClientConnection.QPS), int(config.ClientConnection.Burst)
	options, err := managerOptions(limited, config)
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
	if err := mgr.AddReadyzCheck("cache", cacheSynced(mgr)); err != nil {
		return nil, err
	}
	secrets := credentials{superReader: mgr.GetAPIReader()}
	authorities := tenantauth.NewAuthorities(clock.RealClock{})
	if err := addTenants(mgr, secrets, authorities); err != nil {
		return nil, fmt.Errorf("adding the tenants controller: %w", err)
	}
	if err := addNodes(mgr, config, secrets); err != nil {
		return nil, fmt.Errorf("adding the nodes controller: %w", err)
	}
	if err := addKubeletAPI(mgr, config, authorities); err != nil {
		return nil, fmt.Errorf("adding the kubelet API: %w", err)
	}
	return mgr, nil
}

// managerOptions maps the configuration to the manager's options.
func managerOptions(restConfig *rest.Config, config *configv1alpha1.VNAgentConfiguration) (ctrl.Options, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, fmt.Errorf("adding Kubernetes types to the scheme: %w", err)
	}
	if err := tenancyv1alpha1.AddToScheme(scheme); err != nil {
		return ctrl.Options{}, fmt.Errorf("adding tenancy types to the scheme: %w", err)
	}
	options := ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			ByObject:         map[client.Object]cache.ByObject{&corev1.Node{}: {Transform: stripNode}},
		},
		Metrics:                metricsserver.Options{BindAddress: config.Metrics.BindAddress},
		HealthProbeBindAddress: config.Health.BindAddress,
		PprofBindAddress:       config.Profiling.BindAddress,
	}
	if _, err := leader.Elect(&options, restConfig, config.LeaderElection, leaseName); err != nil {
		return ctrl.Options{}, err
	}
	return options, nil
}

// stripNode keeps of a super node only what the capacity is made of.
func stripNode(object any) (any, error) {
	superNode, ok := object.(*corev1.Node)
	if !ok {
		return object, nil
	}
	return &corev1.Node{
		TypeMeta: superNode.TypeMeta,
		ObjectMeta: metav1.ObjectMeta{
			Name: superNode.Name, UID: superNode.UID, ResourceVersion: superNode.ResourceVersion,
			DeletionTimestamp: superNode.DeletionTimestamp,
		},
		Status: corev1.NodeStatus{
			Allocatable: superNode.Status.Allocatable,
			Conditions:  superNode.Status.Conditions,
			NodeInfo:    superNode.Status.NodeInfo,
		},
	}, nil
}

// cacheSynced is the readiness of the caches, without which no tenant is known.
func cacheSynced(mgr ctrl.Manager) healthz.Checker {
	return func(r *http.Request) error {
		if !mgr.GetCache().WaitForCacheSync(r.Context()) {
			return errors.New("caches are not synced")
		}
		return nil
	}
}

// addTenants adds the controller that knows the tenants' CAs, on every replica.
func addTenants(mgr ctrl.Manager, secrets credentials, authorities *tenantauth.Authorities) error {
	everywhere := false
	return builder.ControllerManagedBy(mgr).
		Named("tenants").
		For(&tenancyv1alpha1.VirtualCluster{}, builder.WithPredicates(tenantChanged())).
		WithOptions(controller.Options{NeedLeaderElection: &everywhere, MaxConcurrentReconciles: 1}).
		Complete(&tenantauth.Reconciler{
			VirtualClusters: mgr.GetClient(),
			ReadAuthority:   secrets.authority,
			Authorities:     authorities,
		})
}

// addNodes adds the controllers of the virtual nodes, on the leader.
func addNodes(mgr ctrl.Manager, config *configv1alpha1.VNAgentConfiguration, secrets credentials) error {
	address := &nodeAddress{superReader: mgr.GetAPIReader(), namespace: config.PlatformNamespace, address: config.NodeAddress}
	nodes := node.New(node.Options{
		SuperClient:    mgr.GetClient(),
		ReadKubeconfig: secrets.kubeconfig,
		Address:        address.get,
		Clock:          clock.RealClock{},
	})
	if err := mgr.Add(nodes); err != nil {
		return err
	}
	err := builder.ControllerManagedBy(mgr).
		Named("nodes").
		For(&tenancyv1alpha1.VirtualCluster{}, builder.WithPredicates(tenantChanged())).
		Watches(&tenancyv1alpha1.VirtualClusterClass{}, handler.EnqueueRequestsFromMapFunc(nodes.UsersOf), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(nodes.Events(), &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: nodeWorkers}).
		Complete(nodes)
	if err != nil {
		return err
	}
	return builder.ControllerManagedBy(mgr).
		Named("capacity").
		For(&corev1.Node{}, builder.WithPredicates(node.CapacityChanged())).
		WithOptions(controller.Options{MaxConcurrentReconciles: 1}).
		Complete(nodes.Capacity())
}

// tenantChanged lets those events of a VirtualCluster through that matter here;
// the number of pods in its status changes much more often.
func tenantChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*tenancyv1alpha1.VirtualCluster)
		after, alsoOK := e.ObjectNew.(*tenancyv1alpha1.VirtualCluster)
		if !ok || !alsoOK {
			return true
		}
		return before.UID != after.UID || before.Generation != after.Generation ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			!equality.Semantic.DeepEqual(before.Status.ControlPlane, after.Status.ControlPlane) ||
			// Written after the Secret with the CA and the kubeconfig was.
			!equality.Semantic.DeepEqual(before.Status.Certificates, after.Status.Certificates) ||
			!equality.Semantic.DeepEqual(before.Status.Quota, after.Status.Quota) ||
			!equality.Semantic.DeepEqual(before.Status.Conditions, after.Status.Conditions)
	}}
}

// addKubeletAPI adds the server that tenants' API servers call, on every replica.
func addKubeletAPI(mgr ctrl.Manager, config *configv1alpha1.VNAgentConfiguration, authorities *tenantauth.Authorities) error {
	pods, err := upstream.NewPods(mgr.GetConfig(), mgr.GetAPIReader(), upstream.Options{
		PodIPRuntimeClasses: *config.PortForward.PodIPRuntimeClasses,
	})
	if err != nil {
		return err
	}
	counted, err := kubeletapi.NewMetrics(metrics.Registry)
	if err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	serving, err := dynamiccertificates.NewDynamicServingContentFromFiles("vn-agent-serving", config.KubeletAPI.CertFile, config.KubeletAPI.KeyFile)
	if err != nil {
		return fmt.Errorf("loading the serving certificate: %w", err)
	}
	if err := mgr.Add(servingFiles{serving}); err != nil {
		return err
	}
	return mgr.Add(&kubeletapi.Server{
		Address: config.KubeletAPI.BindAddress,
		TLS:     tenantauth.ServerTLS(tenantauth.Serving(serving), authorities),
		Handler: kubeletapi.NewHandler(kubeletapi.Options{
			Authenticate: authenticate(authorities),
			Find:         find(pods),
			Limits: kubeletapi.Limits{
				StreamsPerTenant: int(config.KubeletAPI.StreamsPerTenant),
				IdleTimeout:      config.KubeletAPI.IdleTimeout.Duration,
			},
			Clock:   clock.RealClock{},
			Audit:   mgr.GetLogger().WithName("audit"),
			Metrics: counted,
		}),
	})
}

// authenticate joins tenantauth to kubeletapi.
func authenticate(authorities *tenantauth.Authorities) func(*http.Request) (kubeletapi.Caller, error) {
	return func(r *http.Request) (kubeletapi.Caller, error) {
		caller, err := authorities.Identify(r.TLS)
		return kubeletapi.Caller{Tenant: caller.Tenant, Gone: caller.Gone}, err
	}
}

// find joins upstream to kubeletapi.
func find(pods *upstream.Pods) func(context.Context, names.Tenant, string, string) (kubeletapi.Pod, error) {
	return func(ctx context.Context, tenant names.Tenant, namespace, name string) (kubeletapi.Pod, error) {
		pod, err := pods.Find(ctx, tenant, namespace, name)
		if errors.Is(err, upstream.ErrNotFound) {
			return nil, kubeletapi.ErrPodNotFound
		}
		if err != nil {
			return nil, err
		}
		return pod, nil
	}
}

// servingFiles reads the serving certificate again when its files change. It
// runs on every replica.
type servingFiles struct {
	content *dynamiccertificates.DynamicCertKeyPairContent
}

var _ manager.LeaderElectionRunnable = servingFiles{}

// NeedLeaderElection says that every replica reads its own files.
func (servingFiles) NeedLeaderElection() bool { return false }

// Start watches the files until ctx ends.
func (s servingFiles) Start(ctx context.Context) error {
	s.content.Run(ctx, 1)
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// awaitKubeconfig is how soon a kubeconfig that is not there yet is looked
	// for again. The conditions of the VirtualCluster tell of it sooner.
	awaitKubeconfig = 2 * time.Second
	// refreshKubeconfig is how soon a rotated kubeconfig is noticed.
	refreshKubeconfig = 10 * time.Minute
)

// Options is what a Reconciler needs. Every field is required.
type Options struct {
	// SuperClient reads VirtualClusters and super nodes, from a cache, and
	// writes the status of VirtualClusters.
	SuperClient client.Client
	// ReadKubeconfig returns the agent's kubeconfig for a tenant, or nil while
	// it does not exist.
	ReadKubeconfig func(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) ([]byte, error)
	// Address returns the IP address at which tenants reach the kubelet API.
	Address func(ctx context.Context) (string, error)
	// Clock is the time.
	Clock clock.Clock
}

// Reconciler runs one agent for each VirtualCluster and reports in the
// condition NodeReady how it is doing. Requests name VirtualClusters. It is safe
// for concurrent use. As a manager.Runnable it owns the agents' lifetime.
type Reconciler struct {
	options  Options
	capacity *sharedCapacity
	events   chan event.GenericEvent
	started  chan struct{}

	mu     sync.Mutex
	base   context.Context //nolint:containedctx // the manager's: agents live longer than the call that starts them
	agents map[types.NamespacedName]*handle
	wg     sync.WaitGroup
}

var (
	_ reconcile.Reconciler = &Reconciler{}
	_ manager.Runnable     = &Reconciler{}
)

// handle is an agent that runs, and what it was started with.
type handle struct {
	agent      *agent
	stop       context.CancelFunc
	tenantID   types.UID
	kubeconfig string
	address    string
	look       tenancyv1alpha1.ClassNode
	quota      corev1.ResourceList
}

// New returns a Reconciler without agents.
func New(options Options) *Reconciler {
	return &Reconciler{
		options:  options,
		capacity: newSharedCapacity(),
		events:   make(chan event.GenericEvent),
		started:  make(chan struct{}),
		agents:   map[types.NamespacedName]*handle{},
	}
}

// Events sends an event for each VirtualCluster whose agent's state changed.
// The controller must watch it.
func (r *Reconciler) Events() <-chan event.GenericEvent { return r.events }

// Capacity returns the reconciler of the super cluster's nodes.
func (r *Reconciler) Capacity() *CapacityReconciler {
	return &CapacityReconciler{superReader: r.options.SuperClient, clock: r.options.Clock, shared: r.capacity}
}

// Start lets agents run until ctx ends, and returns when all have stopped.
func (r *Reconciler) Start(ctx context.Context) error {
	r.mu.Lock()
	r.base = ctx
	r.mu.Unlock()
	close(r.started)
	<-ctx.Done()
	r.wg.Wait()
	return nil
}

// Reconcile starts, replaces or stops the agent of one VirtualCluster.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	select {
	case <-r.started:
	case <-ctx.Done():
		return ctrl.Result{}, ctx.Err()
	}
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	if err := r.options.SuperClient.Get(ctx, request.NamespacedName, virtualCluster); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("reading the VirtualCluster: %w", err)
		}
		r.stop(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	if !virtualCluster.DeletionTimestamp.IsZero() {
		r.stop(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	return r.reconcile(ctx, virtualCluster)
}

func (r *Reconciler) reconcile(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) (ctrl.Result, error) {
	if capacity, _ := r.capacity.get(); capacity == nil {
		if _, err := refresh(ctx, r.options.SuperClient, r.capacity); err != nil {
			return ctrl.Result{}, err
		}
	}
	kubeconfig, err := r.options.ReadKubeconfig(ctx, virtualCluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the agent's kubeconfig: %w", err)
	}
	if kubeconfig == nil {
		r.stop(client.ObjectKeyFromObject(virtualCluster))
		return ctrl.Result{RequeueAfter: awaitKubeconfig}, r.report(ctx, virtualCluster, waiting("waiting for "+tenancyv1alpha1.ConditionCertificatesReady))
	}
	address, err := r.options.Address(ctx)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("finding the kubelet API's address: %w", err)
	}
	look, err := r.look(ctx, virtualCluster)
	if err != nil {
		return ctrl.Result{}, err
	}
	running, err := r.ensure(ctx, virtualCluster, kubeconfig, address, look)
	if err != nil {
		return ctrl.Result{}, r.report(ctx, virtualCluster, failed(err))
	}
	health := running.agent.health.get()
	if !health.Ready && controlPlaneReady(virtualCluster) {
		running.agent.hint()
	}
	if health.Starting && wasReady(virtualCluster) {
		// The agent was started anew, with this process or with another
		// kubeconfig; the Node is as it was. Ready does not flicker for that.
		return ctrl.Result{RequeueAfter: leaseDuration}, nil
	}
	return ctrl.Result{RequeueAfter: refreshKubeconfig}, r.report(ctx, virtualCluster, fromHealth(health, virtualCluster))
}

// look returns how the class wants the node to be. Without its class a node
// stays as it is.
func (r *Reconciler) look(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) (tenancyv1alpha1.ClassNode, error) {
	class := &tenancyv1alpha1.VirtualClusterClass{}
	err := r.options.SuperClient.Get(ctx, types.NamespacedName{Name: virtualCluster.Spec.ClassName}, class)
	if client.IgnoreNotFound(err) != nil {
		return tenancyv1alpha1.ClassNode{}, fmt.Errorf("reading the class: %w", err)
	}
	if err == nil {
		return class.Spec.Node, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if running, ok := r.agents[client.ObjectKeyFromObject(virtualCluster)]; ok {
		return running.look, nil
	}
	return tenancyv1alpha1.ClassNode{}, nil
}

// UsersOf maps a class to the VirtualClusters that name it.
func (r *Reconciler) UsersOf(ctx context.Context, class client.Object) []ctrl.Request {
	var all tenancyv1alpha1.VirtualClusterList
	if err := r.options.SuperClient.List(ctx, &all); err != nil {
		log.FromContext(ctx).Error(err, "listing virtual clusters failed")
		return nil
	}
	var requests []ctrl.Request
	for i := range all.Items {
		if all.Items[i].Spec.ClassName == class.GetName() {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&all.Items[i])})
		}
	}
	return requests
}

// ensure returns the agent of a VirtualCluster, started anew if it has none or
// if what it was started with has changed.
func (r *Reconciler) ensure(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster, kubeconfig []byte, address string, look tenancyv1alpha1.ClassNode) (*handle, error) {
	key, quota := client.ObjectKeyFromObject(virtualCluster), virtualCluster.Status.Quota.DeepCopy()
	r.mu.Lock()
	running, ok := r.agents[key]
	r.mu.Unlock()
	if ok && running.tenantID == virtualCluster.UID && running.kubeconfig == string(kubeconfig) &&
		running.address == address && equality.Semantic.DeepEqual(running.look, look) &&
		equality.Semantic.DeepEqual(running.quota, quota) {
		return running, nil
	}
	clients, err := newTenantClients(kubeconfig)
	if err != nil {
		r.stop(key)
		return nil, err
	}
	logger := log.FromContext(ctx).WithValues("virtualCluster", key, "tenant", string(virtualCluster.UID))
	a := &agent{
		clients: clients, address: address, look: look, quota: quota, capacity: r.capacity, clock: r.options.Clock,
		logger: logger, hints: make(chan struct{}, 1),
	}
	r.stop(key)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.base.Err(); err != nil {
		return nil, fmt.Errorf("starting an agent: %w", err)
	}
	agentCtx, stop := context.WithCancel(r.base)
	a.health = &health{clock: r.options.Clock, started: r.options.Clock.Now(), changed: func() { r.tell(agentCtx, key) }}
	started := &handle{agent: a, stop: stop, tenantID: virtualCluster.UID, kubeconfig: string(kubeconfig), address: address, look: look, quota: quota}
	r.agents[key] = started
	r.wg.Go(func() { a.run(agentCtx) })
	return started, nil
}

// tell asks for a reconcile. It does not wait for it: agents wait for nobody.
func (r *Reconciler) tell(ctx context.Context, key types.NamespacedName) {
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	virtualCluster.Namespace, virtualCluster.Name = key.Namespace, key.Name
	r.wg.Go(func() {
		select {
		case r.events <- event.GenericEvent{Object: virtualCluster}:
		case <-ctx.Done():
		}
	})
}

// stop ends the agent of a VirtualCluster, if there is one. What it still has
// to finish does not keep the caller waiting.
func (r *Reconciler) stop(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if running, ok := r.agents[key]; ok {
		running.stop()
		delete(r.agents, key)
	}
}

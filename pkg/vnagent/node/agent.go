// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	vknode "github.com/virtual-kubelet/virtual-kubelet/node"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const (
	// probeTimeout bounds the first request of an attempt: a control plane
	// that is starting answers at once or not yet.
	probeTimeout = 2 * time.Second
	// firstRetry to eagerRetry is the back-off of an agent whose tenant was
	// well within eagerFor; after that it grows to patientRetry. A hint that
	// the control plane is up cuts a wait short.
	firstRetry   = 200 * time.Millisecond
	eagerRetry   = time.Second
	eagerFor     = 2 * time.Minute
	patientRetry = 15 * time.Second
	// statusInterval is how often the Node's heartbeat is written beside the Lease.
	statusInterval = 5 * time.Minute
	// repairInterval is the shortest time between two repairs.
	repairInterval = time.Second
)

// annotations in which the library remembers what it wrote.
const (
	annotationLastStatus = "virtual-kubelet.io/last-applied-node-status"
	annotationLastMeta   = "virtual-kubelet.io/last-applied-object-meta"
)

// errNodeDeleted ends a run whose Node somebody deleted.
var errNodeDeleted = errors.New("the node was deleted")

// agent keeps one tenant's Node.
type agent struct {
	clients  *tenantClients
	address  string
	look     tenancyv1alpha1.ClassNode
	quota    corev1.ResourceList
	capacity *sharedCapacity
	clock    clock.Clock
	logger   logr.Logger
	health   *health
	started  time.Time

	hints chan struct{} // capacity 1: try now
	runs  sync.WaitGroup
}

// hint tells that an attempt may succeed now.
func (a *agent) hint() {
	select {
	case a.hints <- struct{}{}:
	default:
	}
}

// run keeps the Node until ctx ends, and returns when nothing of it is left running.
func (a *agent) run(ctx context.Context) {
	defer a.clients.close()
	defer a.runs.Wait()
	a.started = a.clock.Now()
	wellAt, wait := a.started, firstRetry
	for ctx.Err() == nil {
		wasWell, err := a.once(ctx)
		if wasWell {
			wellAt, wait = a.clock.Now(), firstRetry
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		a.logger.V(1).Info("virtual node is not registered", "error", err.Error(), "retryIn", wait.String())
		if !errors.Is(err, errNodeDeleted) {
			a.health.setTrouble(err)
		}
		a.sleep(ctx, wait)
		wait = nextWait(wait, a.clock.Since(wellAt))
	}
}

func nextWait(wait, unwell time.Duration) time.Duration {
	longest := eagerRetry
	if unwell > eagerFor {
		longest = patientRetry
	}
	return min(wait*8/5, longest)
}

// sleep waits, or less if there is a hint.
func (a *agent) sleep(ctx context.Context, wait time.Duration) {
	timer := a.clock.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-a.hints:
	case <-timer.C():
	}
}

// once registers the Node and keeps it until something has to be done anew: nil
// for a change of capacity or the end of ctx. well says whether the Node was registered.
func (a *agent) once(ctx context.Context) (well bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	capacity, changed := a.capacity.get()
	if capacity == nil {
		select {
		case <-ctx.Done():
		case <-changed:
		}
		return false, nil
	}
	if err := a.prepare(ctx); err != nil {
		return false, err
	}
	desired := virtualNode(capacity, a.quota, a.address, a.look, a.started)
	controller, err := a.controller(desired)
	if err != nil {
		return false, err
	}
	ended := make(chan error, 1)
	a.runs.Go(func() { ended <- controller.Run(ctx) })
	select {
	case err := <-ended:
		return false, fmt.Errorf("registering the node: %w", err)
	case <-controller.Ready():
	}
	a.health.setRegistered()
	a.logger.Info("virtual node is registered")
	guarded := make(chan error, 1)
	a.runs.Go(func() { guarded <- a.guard(ctx, desired) })
	select {
	case err := <-ended:
		return true, err
	case err := <-guarded:
		return true, err
	case <-changed:
		return true, nil
	}
}

// controller is the library's part: registration, heartbeat and Lease.
func (a *agent) controller(desired *corev1.Node) (*vknode.NodeController, error) {
	leases := &observedLeases{
		LeaseInterface: a.clients.requests.CoordinationV1().Leases(corev1.NamespaceNodeLease),
		observe:        a.health.observeRenewal,
	}
	controller, err := vknode.NewNodeController(
		vknode.NaiveNodeProvider{}, desired.DeepCopy(), a.clients.requests.CoreV1().Nodes(),
		vknode.WithNodeEnableLeaseV1(leases, int32(leaseDuration/time.Second)),
		vknode.WithNodeStatusUpdateInterval(statusInterval),
		vknode.WithNodeStatusUpdateErrorHandler(func(_ context.Context, err error) error {
			a.logger.V(1).Info("heartbeat of the virtual node failed", "error", err.Error())
			return err
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("making the node controller: %w", err)
	}
	return controller, nil
}

// prepare finds out whether the tenant answers, and removes what would stop the
// library: annotations of its own that a tenant has made unreadable.
func (a *agent) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	nodes := a.clients.requests.CoreV1().Nodes()
	live, err := nodes.Get(ctx, tenancyv1alpha1.VirtualNodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the node: %w", err)
	}
	if readable(live) {
		return nil
	}
	patch := []byte(`{"metadata":{"annotations":{"` + annotationLastStatus + `":null,"` + annotationLastMeta + `":null}}}`)
	if _, err := nodes.Patch(ctx, live.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("clearing the node's annotations: %w", err)
	}
	return nil
}

func readable(live *corev1.Node) bool {
	for key, into := range map[string]any{annotationLastStatus: &corev1.NodeStatus{}, annotationLastMeta: &metav1.ObjectMeta{}} {
		if value, ok := live.Annotations[key]; ok && json.Unmarshal([]byte(value), into) != nil {
			return false
		}
	}
	return true
}

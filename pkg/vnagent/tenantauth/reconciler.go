// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package tenantauth

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
)

const (
	// awaitAuthority is how soon a CA that is not there yet is looked for again.
	// The conditions of the VirtualCluster tell of it sooner.
	awaitAuthority = 5 * time.Second
	// refreshAuthority is how soon a rotated CA is noticed.
	refreshAuthority = 10 * time.Minute
)

// ReadAuthority returns the kubelet client CA (PEM) of a VirtualCluster, or
// nil while it does not exist.
type ReadAuthority func(ctx context.Context, virtualCluster *tenancyv1alpha1.VirtualCluster) ([]byte, error)

// Reconciler keeps Authorities equal to the VirtualClusters. Requests name
// VirtualClusters. Every replica runs one, whoever leads.
type Reconciler struct {
	// VirtualClusters reads VirtualClusters, from a cache.
	VirtualClusters client.Reader
	// ReadAuthority is asked once for each change of a VirtualCluster.
	ReadAuthority ReadAuthority
	// Authorities is what is kept up to date.
	Authorities *Authorities

	// known remembers the tenant id of each name, which a request for a
	// VirtualCluster that is gone no longer tells. One worker uses it.
	known map[types.NamespacedName]string
}

var _ reconcile.Reconciler = &Reconciler{}

// Reconcile puts or removes one tenant's CA. It is not safe for concurrent
// use: give its controller one worker.
func (r *Reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	virtualCluster := &tenancyv1alpha1.VirtualCluster{}
	err := r.VirtualClusters.Get(ctx, request.NamespacedName, virtualCluster)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("reading the VirtualCluster: %w", err)
	}
	tenant := names.Tenant{ID: string(virtualCluster.UID), Name: virtualCluster.Name}
	if before, ok := r.known[request.NamespacedName]; ok && before != tenant.ID {
		r.remove(request.NamespacedName)
	}
	if apierrors.IsNotFound(err) || !virtualCluster.DeletionTimestamp.IsZero() {
		r.remove(request.NamespacedName)
		return ctrl.Result{}, nil
	}
	ca, err := r.ReadAuthority(ctx, virtualCluster)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("reading the kubelet client CA: %w", err)
	}
	if ca == nil {
		return ctrl.Result{RequeueAfter: awaitAuthority}, nil
	}
	if err := r.Authorities.Put(tenant, ca); err != nil {
		return ctrl.Result{}, fmt.Errorf("trusting the kubelet client CA: %w", err)
	}
	if r.known == nil {
		r.known = map[types.NamespacedName]string{}
	}
	r.known[request.NamespacedName] = tenant.ID
	return ctrl.Result{RequeueAfter: refreshAuthority}, nil
}

func (r *Reconciler) remove(name types.NamespacedName) {
	if tenantID, ok := r.known[name]; ok {
		r.Authorities.Remove(tenantID)
		delete(r.known, name)
	}
}

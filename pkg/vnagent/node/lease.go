// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// observedLeases tells how each renewal went; the library keeps it to itself.
type observedLeases struct {
	coordinationclient.LeaseInterface
	observe func(err error)
}

// Create creates and tells.
func (o *observedLeases) Create(ctx context.Context, lease *coordinationv1.Lease, options metav1.CreateOptions) (*coordinationv1.Lease, error) {
	created, err := o.LeaseInterface.Create(ctx, lease, options)
	o.observe(err)
	return created, err
}

// Update updates and tells.
func (o *observedLeases) Update(ctx context.Context, lease *coordinationv1.Lease, options metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	updated, err := o.LeaseInterface.Update(ctx, lease, options)
	o.observe(err)
	return updated, err
}

// Get gets and tells of an error: a lease that cannot be read is not renewed either.
func (o *observedLeases) Get(ctx context.Context, name string, options metav1.GetOptions) (*coordinationv1.Lease, error) {
	lease, err := o.LeaseInterface.Get(ctx, name, options)
	if err != nil {
		o.observe(err)
	}
	return lease, err
}

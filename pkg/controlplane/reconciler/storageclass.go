// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// +kubebuilder:rbac:groups=storage.k8s.io,resources=storageclasses,verbs=get;list

const (
	// retryStorageClass and its max are how soon, and how late, a StorageClass is
	// looked for again: they come so seldom that nobody watches them.
	retryStorageClass    = 5 * time.Second
	retryStorageClassMax = 20 * time.Second
	// annotationDefaultClass marks the StorageClass of claims that name none.
	annotationDefaultClass = "storageclass.kubernetes.io/is-default-class"
)

// checkStorageClass waits for the StorageClass of a control plane that is to be
// made. Without it the pod would wait, too, but nobody would be told for what.
// A control plane that exists has its volume.
func (r *Reconciler) checkStorageClass(ctx context.Context, s *scope) error {
	found, err := getOwned(ctx, r.Client, r.APIReader, s.spec.StatefulSet(""), &appsv1.StatefulSet{})
	if err != nil || found {
		return err
	}
	name := s.spec.ControlPlane.Storage.StorageClassName
	message := fmt.Sprintf("spec.controlPlane.storage.storageClassName: the cluster has no StorageClass %q: create it, or name another in a new virtual cluster or class", name)
	if name == "" {
		message = fmt.Sprintf("the class names no StorageClass and the cluster has no default one: set spec.controlPlane.storage.storageClassName of class %q, or annotate a StorageClass with %s=true",
			s.class.Name, annotationDefaultClass)
	}
	exists, err := r.storageClassExists(ctx, name)
	if err != nil || exists {
		return err
	}
	return &blocked{reason: tenancyv1alpha1.ReasonStorageClassNotFound, message: message,
		after: patience(s.unavailableFor(r.Clock), retryStorageClass, retryStorageClassMax)}
}

// storageClassExists reports whether there is the StorageClass, or for no name a default one.
func (r *Reconciler) storageClassExists(ctx context.Context, name string) (bool, error) {
	if name != "" {
		err := r.APIReader.Get(ctx, types.NamespacedName{Name: name}, &storagev1.StorageClass{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("getting StorageClass %q: %w", name, err)
		}
		return true, nil
	}
	var all storagev1.StorageClassList
	if err := r.APIReader.List(ctx, &all); err != nil {
		return false, fmt.Errorf("listing StorageClasses: %w", err)
	}
	return slices.ContainsFunc(all.Items, func(class storagev1.StorageClass) bool {
		return class.Annotations[annotationDefaultClass] == "true"
	}), nil
}

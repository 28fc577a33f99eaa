// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"fmt"
	"reflect"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/drift"
)

// apply makes desired exist: see the function.
func (r *Reconciler) apply(ctx context.Context, desired, live client.Object) error {
	return apply(ctx, r.Client, r.APIReader, desired, live)
}

// apply makes the object be as desired (server-side apply) and fills live, an
// empty object of the same type, with what exists then. It writes nothing if
// nothing differs, and it is an error if an object of that name exists that
// is not the same owner's.
func apply(ctx context.Context, writer client.Client, direct client.Reader, desired, live client.Object) error {
	if err := drift.SetHash(desired); err != nil {
		return err
	}
	found, err := getOwned(ctx, writer, direct, desired, live)
	if err != nil {
		return err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(desired)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", describe(desired), err)
	}
	delete(content, "status")
	if found {
		present, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", describe(live), err)
		}
		if drift.Within(content, present) {
			return nil
		}
	}
	configuration := &unstructured.Unstructured{Object: content}
	err = writer.Apply(ctx, client.ApplyConfigurationFromUnstructured(configuration), client.FieldOwner(FieldManager), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("applying %s: %w", describe(desired), err)
	}
	log.FromContext(ctx).V(1).Info("Applied", "object", describe(desired), "existed", found)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(configuration.Object, live); err != nil {
		return fmt.Errorf("decoding %s: %w", describe(desired), err)
	}
	return nil
}

// createOnce returns the Secret of desired's name; if there is none, it creates
// the one that build returns. Of any number of calls, at any time, in any
// process, only one creates; all return the same.
func createOnce(ctx context.Context, writer client.Client, direct client.Reader, name *corev1.Secret, build func() (*corev1.Secret, error)) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	found, err := getOwned(ctx, writer, direct, name, secret)
	if found || err != nil {
		return secret, err
	}
	if secret, err = build(); err != nil {
		return nil, err
	}
	err = writer.Create(ctx, secret, client.FieldOwner(FieldManager))
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			return nil, fmt.Errorf("creating %s: %w", describe(name), err)
		}
		return secret, nil
	}
	found, err = getOwned(ctx, direct, direct, name, secret)
	if err == nil && !found {
		err = fmt.Errorf("%s was deleted while it was read", describe(name))
	}
	return secret, err
}

// getOwned reads the object of desired's name into live: from the cache, and
// if the owner's is not there, from the API server, since the cache shows only
// labelled objects and is late: it may still have a namesake's that is gone.
// An object that is not the same owner's is an error.
func getOwned(ctx context.Context, cached, direct client.Reader, desired, live client.Object) (found bool, err error) {
	key := client.ObjectKeyFromObject(desired)
	err = cached.Get(ctx, key, live)
	if apierrors.IsNotFound(err) || err == nil && !sameOwner(desired, live) {
		// Nothing of what the cache had may show through.
		reflect.ValueOf(live).Elem().SetZero()
		err = direct.Get(ctx, key, live)
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("getting %s: %w", describe(desired), err)
	}
	if !sameOwner(desired, live) {
		return false, fmt.Errorf("%s exists and was not made for this virtual cluster (label %s): delete or rename it",
			describe(desired), tenancyv1alpha1.LabelTenantID)
	}
	// Lists of typed objects come without their type; comparisons need it.
	live.GetObjectKind().SetGroupVersionKind(desired.GetObjectKind().GroupVersionKind())
	return true, nil
}

// sameOwner reports whether both objects are vc-manager's, for the same tenant.
func sameOwner(a, b client.Object) bool {
	for _, label := range []string{tenancyv1alpha1.LabelManagedBy, tenancyv1alpha1.LabelTenantID} {
		if a.GetLabels()[label] != b.GetLabels()[label] {
			return false
		}
	}
	return true
}

// describe names an object for people.
func describe(object client.Object) string {
	kind := object.GetObjectKind().GroupVersionKind().Kind
	if object.GetNamespace() == "" {
		return kind + " " + object.GetName()
	}
	return kind + " " + object.GetNamespace() + "/" + object.GetName()
}

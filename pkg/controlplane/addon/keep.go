// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package addon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/drift"
)

// FieldManager is the field manager of everything that is applied in a tenant.
const FieldManager = "vc-manager"

// Keep makes every object be as desired and returns them as they are now, in
// the same order. What is in order is only read. An object that fails does not
// keep it from the others; the error then joins all. The objects are modified:
// they get the digest of what was asked for.
func (t *Tenant) Keep(ctx context.Context, objects []client.Object) ([]*unstructured.Unstructured, error) {
	var live []*unstructured.Unstructured
	var errs []error
	for _, object := range objects {
		now, err := t.keep(ctx, object)
		live, errs = append(live, now), append(errs, err)
		if errors.Is(err, ErrUnreachable) || ctx.Err() != nil {
			break
		}
	}
	return live, errors.Join(errs...)
}

// Remove deletes those of the objects that the platform made, the last first.
// It returns when they are asked to go, not when they are gone.
func (t *Tenant) Remove(ctx context.Context, objects []client.Object) error {
	var errs []error
	for _, object := range slices.Backward(objects) {
		live, err := t.get(ctx, object)
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if live != nil && labelled(live) && live.GetDeletionTimestamp() == nil {
			errs = append(errs, t.remove(ctx, live))
		}
	}
	return errors.Join(errs...)
}

// keep makes one object be as desired.
func (t *Tenant) keep(ctx context.Context, object client.Object) (*unstructured.Unstructured, error) {
	if err := drift.SetHash(object); err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", describe(object), err)
	}
	delete(content, "status")
	desired := &unstructured.Unstructured{Object: content}
	live, err := t.get(ctx, desired)
	if err != nil {
		return nil, err
	}
	if live == nil {
		return t.create(ctx, desired)
	}
	if !ours(live) {
		return nil, fmt.Errorf("%s exists: %w: delete it", describe(desired), ErrConflict)
	}
	if live.GetDeletionTimestamp() != nil {
		return nil, fmt.Errorf("%s is being deleted: %w: remove its finalizers", describe(desired), ErrConflict)
	}
	repaired, err := t.repair(ctx, desired, live)
	if !apierrors.IsInvalid(err) {
		if err != nil {
			return nil, failed(ErrRefused, "repairing", desired, err)
		}
		return repaired, nil
	}
	// A field that cannot be changed has another value, for example the Service's
	// address: only a new object can be right.
	if err := t.remove(ctx, live); err != nil {
		return nil, err
	}
	return t.create(ctx, desired)
}

// repair writes what differs, and takes out what somebody added: a selector or
// a container more makes another thing of an object.
func (t *Tenant) repair(ctx context.Context, desired, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	if !drift.Within(desired.Object, live.Object) {
		applied, err := t.apply(ctx, desired)
		if err != nil {
			return nil, err
		}
		live = applied
	}
	keys := foreignKeys(live)
	if len(keys) == 0 {
		return live, nil
	}
	patch, err := replacing(keys, desired, live)
	if err != nil {
		return nil, err
	}
	err = t.client.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(FieldManager))
	if err == nil {
		log.FromContext(ctx).Info("Took back what the tenant had added", "object", describe(desired), "keys", keys)
	}
	return live, err
}

// foreignKeys returns the parts of an object, other than metadata and status, in
// which somebody else has set something. What a ServiceAccount's pods may pull
// images with is the tenant's to add.
func foreignKeys(live *unstructured.Unstructured) []string {
	if live.GetKind() == "ServiceAccount" {
		return nil
	}
	var keys []string
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == FieldManager || entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		for field := range fields {
			key, isField := strings.CutPrefix(field, "f:")
			if isField && key != "metadata" && key != "status" && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

// replacing returns a JSON patch that makes parts of live be what desired says
// and nothing more. It fails if live has changed in the meantime.
func replacing(keys []string, desired, live *unstructured.Unstructured) ([]byte, error) {
	type operation struct {
		Op    string `json:"op"`
		Path  string `json:"path"`
		Value any    `json:"value,omitempty"`
	}
	// Not "test", whose failure could not be told from a value that is not legal.
	patch := []operation{{Op: "replace", Path: "/metadata/resourceVersion", Value: live.GetResourceVersion()}}
	for _, key := range keys {
		path := "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
		if value, wanted := desired.Object[key]; wanted {
			patch = append(patch, operation{Op: "replace", Path: path, Value: value})
			continue
		}
		if _, there := live.Object[key]; there {
			patch = append(patch, operation{Op: "remove", Path: path})
		}
	}
	return json.Marshal(patch)
}

// get returns the live object, or nil if there is none.
func (t *Tenant) get(ctx context.Context, desired client.Object) (*unstructured.Unstructured, error) {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(desired.GetObjectKind().GroupVersionKind())
	err := t.client.Get(ctx, client.ObjectKeyFromObject(desired), live)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(ErrUnreachable, "getting", desired, err)
	}
	return live, nil
}

func (t *Tenant) create(ctx context.Context, desired *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	live, err := t.apply(ctx, desired)
	if apierrors.IsInvalid(err) && strings.Contains(err.Error(), "already allocated") {
		return nil, failed(ErrConflict, "applying", desired, err)
	}
	if err != nil {
		return nil, failed(ErrRefused, "applying", desired, err)
	}
	return live, nil
}

// apply applies desired and returns what is there then.
func (t *Tenant) apply(ctx context.Context, desired *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	configuration := desired.DeepCopy()
	err := t.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(configuration), client.FieldOwner(FieldManager), client.ForceOwnership)
	if err == nil {
		log.FromContext(ctx).V(1).Info("Applied in the tenant", "object", describe(desired))
	}
	return configuration, err
}

// remove deletes exactly this object, and no namesake that was made after it.
func (t *Tenant) remove(ctx context.Context, live *unstructured.Unstructured) error {
	uid := live.GetUID()
	err := t.client.Delete(ctx, live, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return failed(ErrRefused, "deleting", live, err)
	}
	log.FromContext(ctx).Info("Deleted in the tenant", "object", describe(live))
	return nil
}

// labelled reports whether an object says that the platform made it.
func labelled(live *unstructured.Unstructured) bool {
	return live.GetLabels()[tenancyv1alpha1.LabelManagedBy] == tenancyv1alpha1.ManagedByManager
}

// ours reports whether the platform made an object: a tenant that took the
// label away has still not made it.
func ours(live *unstructured.Unstructured) bool {
	return labelled(live) || slices.ContainsFunc(live.GetManagedFields(), func(entry metav1.ManagedFieldsEntry) bool {
		return entry.Manager == FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply
	})
}

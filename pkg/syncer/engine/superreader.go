// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// errNotAKind is returned for an object that no kind of the engine stands for:
// reading it would make the cache watch all of the super cluster's.
var errNotAKind = errors.New("no kind that is synced")

// superReader is the super cluster as one tenant may know it: its own objects
// by their stamp, and of the catalogues what its class shares.
type superReader struct {
	engine *Engine
	tenant *tenant
}

var _ client.Reader = superReader{}

// Get implements client.Reader.
func (r superReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	k := r.engine.kindOf(object)
	if k == nil {
		return fmt.Errorf("reading super %T: %w", object, errNotAKind)
	}
	if err := r.engine.options.Super.GetClient().Get(ctx, key, object, options...); err != nil {
		return err
	}
	if k.Catalogue() && k.Visible(r.tenant.env().Facts, object) {
		return nil
	}
	if owner, ok := identity.Of(object); ok && owner.TenantID == r.tenant.ID && k.Direction == kind.Down {
		return nil
	}
	return apierrors.NewNotFound(schema.GroupResource{Resource: k.Name}, key.Name)
}

// List implements client.Reader for what carries the tenant's stamp.
func (r superReader) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	var all client.ListOptions
	all.ApplyOptions(options)
	selector := identity.TenantSelector(r.tenant.ID)
	if all.LabelSelector != nil {
		requirements, selectable := all.LabelSelector.Requirements()
		if selector = selector.Add(requirements...); !selectable {
			selector = labels.Nothing()
		}
	}
	all.LabelSelector = selector
	return r.engine.options.Super.GetClient().List(ctx, list, &all)
}

// kindOf returns the kind of an object's type, or nil.
func (e *Engine) kindOf(object client.Object) *kind.Translator {
	for _, c := range e.controllers {
		if reflect.TypeOf(c.kind.New()) == reflect.TypeOf(object) {
			return c.kind
		}
	}
	return nil
}

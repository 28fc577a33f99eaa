// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// errNotAList is returned for a list type that the scheme does not have.
var errNotAList = errors.New("not a list")

// referenceField names the index from a kind to the objects that refer to it.
func referenceField(k *kind.Translator) string { return "virtualcluster.io/refers-to-" + k.Name }

// IndexReferences registers the indexes that kinds with References need on
// every tenant's cache. It is called before tenants are connected.
func IndexReferences(ctx context.Context, indexer client.FieldIndexer, kinds []*kind.Translator) error {
	for _, k := range kinds {
		for _, references := range k.References {
			if err := indexer.IndexField(ctx, references.From, referenceField(k), references.Names); err != nil {
				return fmt.Errorf("indexing references to %s: %w", k.Name, err)
			}
		}
	}
	return nil
}

// referred reports whether an object of the tenant namespace refers to this one.
func (p *pass) referred(ctx context.Context) bool {
	for _, references := range p.controller.kind.References {
		found, err := p.referredFrom(ctx, references.From)
		if err != nil {
			// Unknown is not "no": what is there stays.
			ctrl.LoggerFrom(ctx).Error(err, "Cannot look up references")
			return p.super != nil
		}
		if found {
			return true
		}
	}
	return false
}

func (p *pass) referredFrom(ctx context.Context, from client.Object) (bool, error) {
	list, err := listOf(p.tenantCluster.GetScheme(), from)
	if err != nil {
		return false, err
	}
	err = p.tenantCluster.client.List(ctx, list, client.InNamespace(p.request.Namespace),
		client.MatchingFields{referenceField(p.controller.kind): p.request.Name}, client.Limit(1))
	return apimeta.LenList(list) > 0, err
}

// listOf returns an empty list of an object's kind.
func listOf(scheme *runtime.Scheme, object client.Object) (client.ObjectList, error) {
	gvk, err := apiutil.GVKForObject(object, scheme)
	if err != nil {
		return nil, err
	}
	gvk.Kind += "List"
	if _, custom := object.(*unstructured.Unstructured); custom { // in no scheme
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(gvk)
		return list, nil
	}
	made, err := scheme.New(gvk)
	if err != nil {
		return nil, err
	}
	list, ok := made.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%s: %w", gvk, errNotAList)
	}
	return list, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"context"
	"fmt"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
)

// definition is what matters of a CustomResourceDefinition.
type definition struct {
	// uid tells a definition from one that was there before, with other objects.
	uid        types.UID
	kind       schema.GroupKind
	resource   string
	namespaced bool
	// versions that are served, sorted as in the definition, joined by commas:
	// definitions are compared.
	versions    string
	established bool
	terminating bool
}

// definitions are the CustomResourceDefinitions of one cluster, kept up to date.
type definitions struct {
	changed func()

	mu     sync.Mutex
	byName map[string]definition
	synced bool
	failed error
}

// watchDefinitions watches a cluster's CustomResourceDefinitions until ctx ends.
// changed is called after every change that matters; it must not block.
func watchDefinitions(ctx context.Context, cl cluster.Cluster, changed func()) (*definitions, error) {
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("making the scheme: %w", err)
	}
	mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{apiextensionsv1.SchemeGroupVersion})
	mapper.Add(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"), meta.RESTScopeRoot)
	d := &definitions{changed: changed, byName: map[string]definition{}}
	objects, err := cache.New(cl.GetConfig(), cache.Options{
		HTTPClient: cl.GetHTTPClient(), Scheme: scheme, Mapper: mapper,
		DefaultTransform:         withoutSchemas,
		DefaultWatchErrorHandler: func(_ context.Context, _ *toolscache.Reflector, err error) { d.fail(err) },
	})
	if err != nil {
		return nil, fmt.Errorf("making the cache of definitions: %w", err)
	}
	informer, err := objects.GetInformer(ctx, &apiextensionsv1.CustomResourceDefinition{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching definitions: %w", err)
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(added any) { d.observe(added, false) },
		UpdateFunc: func(_, updated any) { d.observe(updated, false) },
		DeleteFunc: func(deleted any) { d.observe(deleted, true) },
	})
	if err != nil {
		return nil, fmt.Errorf("watching definitions: %w", err)
	}
	go func() { d.fail(objects.Start(ctx)) }()
	go func() {
		if toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			d.setSynced()
		}
	}()
	return d, nil
}

// withoutSchemas keeps what is large out of the cache.
func withoutSchemas(object any) (any, error) {
	if crd, ok := object.(*apiextensionsv1.CustomResourceDefinition); ok {
		crd.ManagedFields, crd.Annotations = nil, nil
		for i := range crd.Spec.Versions {
			crd.Spec.Versions[i].Schema = nil
		}
	}
	return object, nil
}

func (d *definitions) fail(err error) {
	if err == nil {
		return
	}
	d.mu.Lock()
	d.failed = err
	d.mu.Unlock()
	d.changed()
}

func (d *definitions) setSynced() {
	d.mu.Lock()
	d.synced, d.failed = true, nil
	d.mu.Unlock()
	d.changed()
}

func (d *definitions) observe(object any, deleted bool) {
	if last, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
		object = last.Obj
	}
	crd, ok := object.(*apiextensionsv1.CustomResourceDefinition)
	if !ok {
		return
	}
	d.mu.Lock()
	before, known := d.byName[crd.Name]
	now := definitionOf(crd)
	if deleted {
		delete(d.byName, crd.Name)
	} else {
		d.byName[crd.Name] = now
	}
	d.mu.Unlock()
	if known == deleted || !deleted && now != before {
		d.changed()
	}
}

func definitionOf(crd *apiextensionsv1.CustomResourceDefinition) definition {
	found := definition{
		uid:         crd.UID,
		kind:        schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind},
		resource:    crd.Spec.Names.Plural,
		namespaced:  crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
		terminating: crd.DeletionTimestamp != nil,
	}
	for _, version := range crd.Spec.Versions {
		if version.Served {
			found.versions += version.Name + ","
		}
	}
	for _, condition := range crd.Status.Conditions {
		if condition.Type == apiextensionsv1.Established {
			found.established = condition.Status == apiextensionsv1.ConditionTrue
		}
	}
	return found
}

// state returns whether the cluster's definitions are known, and why not.
func (d *definitions) state() (synced bool, failed error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.synced, d.failed
}

// known reports whether there is an answer, if only that there will be none. It
// may be called on nil.
func (d *definitions) known() bool {
	if d == nil {
		return false
	}
	synced, failed := d.state()
	return synced || failed != nil
}

// find returns the definition of a kind. Of several, which only a tenant's
// mistake makes, the one that is established counts.
func (d *definitions) find(kind schema.GroupKind) (definition, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	best, found := definition{}, false
	for _, candidate := range d.byName {
		if candidate.kind == kind && (!found || candidate.established) {
			best, found = candidate, true
		}
	}
	return best, found
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
)

// view is a cluster with one kind more: its cache and its client know the kind,
// and leave all others to the cluster's own. The kind's cache ends alone.
type view struct {
	cluster.Cluster
	mapper  meta.RESTMapper
	objects cache.Cache
	client  client.Client
	live    client.Reader
}

// viewOptions say what a view adds. All are required.
type viewOptions struct {
	kind       schema.GroupVersionKind
	definition definition
	selector   labels.Selector
	failed     func(error)
}

// newView makes a view; run must be called for its cache to fill.
func newView(cl cluster.Cluster, options viewOptions) (*view, error) {
	mapper := options.mapper(cl)
	objects, err := cache.New(cl.GetConfig(), cache.Options{
		HTTPClient: cl.GetHTTPClient(), Scheme: cl.GetScheme(), Mapper: mapper,
		DefaultTransform: cache.TransformStripManagedFields(), DefaultLabelSelector: options.selector,
		DefaultWatchErrorHandler: func(_ context.Context, _ *toolscache.Reflector, err error) { options.failed(err) },
	})
	if err != nil {
		return nil, fmt.Errorf("making the cache of %s: %w", options.kind, err)
	}
	v := &view{Cluster: cl, mapper: mapper, objects: objects}
	clientOptions := client.Options{HTTPClient: cl.GetHTTPClient(), Scheme: cl.GetScheme(), Mapper: mapper}
	live, err := client.New(cl.GetConfig(), clientOptions)
	if err != nil {
		return nil, fmt.Errorf("making the client of %s: %w", options.kind, err)
	}
	v.live = liveReader{live}
	clientOptions.Cache = &client.CacheOptions{Reader: v.GetCache(), Unstructured: true}
	if v.client, err = client.New(cl.GetConfig(), clientOptions); err != nil {
		return nil, fmt.Errorf("making the client of %s: %w", options.kind, err)
	}
	return v, nil
}

// mapper knows the kind from its definition, without asking the cluster, and
// all others as the cluster's own does.
func (o viewOptions) mapper(cl cluster.Cluster) meta.RESTMapper {
	scope := meta.RESTScope(meta.RESTScopeRoot)
	if o.definition.namespaced {
		scope = meta.RESTScopeNamespace
	}
	version := o.kind.GroupVersion()
	known := meta.NewDefaultRESTMapper([]schema.GroupVersion{version})
	resource := version.WithResource(o.definition.resource)
	known.AddSpecific(o.kind, resource, resource, scope)
	return meta.FirstHitRESTMapper{MultiRESTMapper: meta.MultiRESTMapper{known, cl.GetRESTMapper()}}
}

// run fills the kind's cache until ctx ends.
func (v *view) run(ctx context.Context) error { return v.objects.Start(ctx) }

// GetRESTMapper implements cluster.Cluster.
func (v *view) GetRESTMapper() meta.RESTMapper { return v.mapper }

// GetCache implements cluster.Cluster.
func (v *view) GetCache() cache.Cache {
	return &viewCache{Cache: v.Cluster.GetCache(), objects: v.objects}
}

// GetClient implements cluster.Cluster.
func (v *view) GetClient() client.Client { return v.client }

// GetAPIReader implements cluster.Cluster.
func (v *view) GetAPIReader() client.Reader { return v.live }

// viewCache reads custom resources from one cache and all else from another.
type viewCache struct {
	cache.Cache
	objects cache.Cache
}

func (c *viewCache) of(object runtime.Object) cache.Cache {
	if _, custom := object.(runtime.Unstructured); custom {
		return c.objects
	}
	return c.Cache
}

// Get implements client.Reader.
func (c *viewCache) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	return c.of(object).Get(ctx, key, object, options...)
}

// List implements client.Reader.
func (c *viewCache) List(ctx context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.of(list).List(ctx, list, options...)
}

// GetInformer implements cache.Informers.
func (c *viewCache) GetInformer(ctx context.Context, object client.Object, options ...cache.InformerGetOption) (cache.Informer, error) {
	return c.of(object).GetInformer(ctx, object, options...)
}

// liveReader reads an API server that may cease to serve the kind. It answers
// "not found" then as well; only an object that it looked for counts as gone.
type liveReader struct{ client.Reader }

// Get implements client.Reader.
func (r liveReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
	err := r.Reader.Get(ctx, key, object, options...)
	if apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse) {
		return fmt.Errorf("%w: %s", engine.ErrNotServed, err.Error())
	}
	return err
}

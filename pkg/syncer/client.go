// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"

	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// leanClient deletes without looking at the answer. controller-runtime v0.25
// decodes the object that an API server answers with, encodes it as JSON and
// decodes that again, for callers that ask for it: for a pod a quarter of a
// millisecond and 57 KB, twice in its life.
type leanClient struct {
	client.Client
	metadata metadata.Interface
}

// newClient is a client.NewClientFunc.
func newClient(config *rest.Config, options client.Options) (client.Client, error) {
	whole, err := client.New(config, options)
	if err != nil {
		return nil, err
	}
	lean, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), options.HTTPClient)
	if err != nil {
		return nil, fmt.Errorf("making the client that deletes: %w", err)
	}
	return &leanClient{Client: whole, metadata: lean}, nil
}

// Delete implements client.Writer.
func (c *leanClient) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	gvk, err := apiutil.GVKForObject(object, c.Scheme())
	if err != nil {
		return err
	}
	mapping, err := c.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return err
	}
	options := (&client.DeleteOptions{}).ApplyOptions(opts)
	return c.metadata.Resource(mapping.Resource).Namespace(object.GetNamespace()).Delete(ctx, object.GetName(), *options.AsDeleteOptions())
}

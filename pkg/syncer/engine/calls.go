// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
)

// party is one of the two clusters of a pass.
type party int

const (
	atTenant party = iota
	atSuper
	parties
)

func (s party) String() string {
	if s == atTenant {
		return "tenant"
	}
	return "super"
}

// calls collects what the requests of one pass have come to, by cluster. It is
// for one goroutine.
type calls [parties]outcome

type callsKey struct{}

// withCalls returns a context whose requests are collected.
func withCalls(ctx context.Context) (context.Context, *calls) {
	c := &calls{}
	return context.WithValue(ctx, callsKey{}, c), c
}

func callsOf(ctx context.Context) *calls {
	c, _ := ctx.Value(callsKey{}).(*calls)
	return c
}

// called runs one request. Reads from caches are none.
func called(ctx context.Context, s party, verb string, do func(context.Context) error) error {
	ctx, end := traceCall(ctx, s, verb)
	err := do(ctx)
	end(err)
	if c := callsOf(ctx); c != nil {
		c[s].add(err)
	}
	return err
}

// HandBackThrottling wraps the transport to the super cluster: a request of the
// engine that is told to come back later fails at once, and its tenant is
// served again after that time. Otherwise the client would try again by itself,
// with a worker that waits.
func HandBackThrottling(next http.RoundTripper) http.RoundTripper { return throttling{next} }

type throttling struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t throttling) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	c := callsOf(r.Context())
	if err != nil || c == nil || response.Header.Get("Retry-After") == "" {
		return response, err
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		c[atSuper].retryAfter = max(c[atSuper].retryAfter, time.Duration(seconds)*time.Second)
	}
	response.Header.Del("Retry-After")
	return response, nil
}

// watchedCluster is a cluster whose requests are collected.
type watchedCluster struct {
	cluster.Cluster
	at party
}

// GetClient implements cluster.Cluster.
func (c watchedCluster) GetClient() client.Client {
	return watchedClient{c.Cluster.GetClient(), c.at}
}

// GetAPIReader implements cluster.Cluster.
func (c watchedCluster) GetAPIReader() client.Reader {
	return watchedReader{c.Cluster.GetAPIReader(), c.at}
}

// watchedClient collects writes: what it reads comes from a cache.
type watchedClient struct {
	client.Client
	at party
}

// Create implements client.Writer.
func (c watchedClient) Create(ctx context.Context, object client.Object, opts ...client.CreateOption) error {
	return called(ctx, c.at, "create", func(ctx context.Context) error { return c.Client.Create(ctx, object, opts...) })
}

// Patch implements client.Writer.
func (c watchedClient) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return called(ctx, c.at, "patch", func(ctx context.Context) error { return c.Client.Patch(ctx, object, patch, opts...) })
}

// Delete implements client.Writer.
func (c watchedClient) Delete(ctx context.Context, object client.Object, opts ...client.DeleteOption) error {
	return called(ctx, c.at, "delete", func(ctx context.Context) error { return c.Client.Delete(ctx, object, opts...) })
}

// Status implements client.StatusClient.
func (c watchedClient) Status() client.SubResourceWriter {
	return watchedSubResource{c.Client.SubResource("status"), c.at, "status"}
}

// SubResource implements client.SubResourceClientConstructor.
func (c watchedClient) SubResource(name string) client.SubResourceClient {
	return watchedSubResource{c.Client.SubResource(name), c.at, name}
}

type watchedSubResource struct {
	client.SubResourceClient
	at   party
	name string
}

// Create implements client.SubResourceWriter.
func (c watchedSubResource) Create(ctx context.Context, object, sub client.Object, opts ...client.SubResourceCreateOption) error {
	return called(ctx, c.at, "create "+c.name, func(ctx context.Context) error { return c.SubResourceClient.Create(ctx, object, sub, opts...) })
}

// Patch implements client.SubResourceWriter.
func (c watchedSubResource) Patch(ctx context.Context, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return called(ctx, c.at, "patch "+c.name, func(ctx context.Context) error { return c.SubResourceClient.Patch(ctx, object, patch, opts...) })
}

// Update implements client.SubResourceWriter.
func (c watchedSubResource) Update(ctx context.Context, object client.Object, opts ...client.SubResourceUpdateOption) error {
	return called(ctx, c.at, "update "+c.name, func(ctx context.Context) error {
		return c.SubResourceClient.Update(ctx, object, opts...) //nolint:forbidigo // the caller says why.
	})
}

// watchedReader collects live reads.
type watchedReader struct {
	client.Reader
	at party
}

// Get implements client.Reader.
func (c watchedReader) Get(ctx context.Context, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
	return called(ctx, c.at, "get", func(ctx context.Context) error { return c.Reader.Get(ctx, key, object, opts...) })
}

// List implements client.Reader.
func (c watchedReader) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return called(ctx, c.at, "list", func(ctx context.Context) error { return c.Reader.List(ctx, list, opts...) })
}

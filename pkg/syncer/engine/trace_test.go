// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// TestTraces: a pass is a span with its object, and each request of it one
// within; what failed says so.
func TestTraces(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	inTenant, inSuper := newSide(tenantObjects("new")...), newSide(superObjects("new")[:1]...)
	inSuper.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if o.GetName() == "beside" {
			return errNotATenant
		}
		return c.Create(ctx, o, opts...)
	}})
	e, err := New(Options{
		Super: inSuper, Kinds: []*kind.Translator{process().Translator()},
		Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)),
	})
	if err != nil {
		t.Fatal(err)
	}
	tn := newTenant(t.Context(), fleet.NewTenant(inTenant, "tenant-1", virtualCluster, fleet.Facts{}))
	e.equip(tn)
	tn.synced.Store(true)
	e.tenants["tenant-1"] = tn
	e.controllers[0].serve(t.Context(), req("tenant-1", "web").in("shop"), time.Now())

	var spans []string
	ended := recorder.Ended()
	root := ended[len(ended)-1]
	for _, span := range ended {
		within := ""
		if span.Parent().SpanID() == root.SpanContext().SpanID() {
			within = " in " + root.Name()
		}
		spans = append(spans, span.Name()+within+": "+span.Status().Code.String())
	}
	want := []string{"tenant get in sync Pod: Unset", "super create in sync Pod: Unset", "super create in sync Pod: Error", "sync Pod: Error"}
	if diff := cmp.Diff(want, spans); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	attributes := map[string]string{}
	for _, attribute := range root.Attributes() {
		attributes[string(attribute.Key)] = attribute.Value.AsString()
	}
	wantAttributes := map[string]string{
		"virtualcluster.kind": "Pod", "virtualcluster.direction": "down", "virtualcluster.tenant": "default/demo",
		"virtualcluster.namespace": "shop", "virtualcluster.name": "web",
	}
	if diff := cmp.Diff(wantAttributes, attributes); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

// TestWithoutTraces: nothing is allocated for them.
func TestWithoutTraces(t *testing.T) {
	e, err := New(Options{Super: newSide(), Kinds: []*kind.Translator{process().Translator()}})
	if err != nil {
		t.Fatal(err)
	}
	tn, r := newTenant(t.Context(), fleet.NewTenant(newSide(), "tenant-1", virtualCluster, fleet.Facts{})), req("tenant-1", "web")
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		ctx, end := e.controllers[0].trace(ctx, tn, r)
		_, endCall := traceCall(ctx, atSuper, "create")
		endCall(nil)
		end(nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

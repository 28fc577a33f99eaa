// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// tracerName is the instrumentation scope of the engine's spans.
const tracerName = "virtualcluster.io/virtualcluster/pkg/syncer/engine"

// trace starts the span of a pass, if traces are wanted. end takes the outcome.
func (c *controller) trace(ctx context.Context, t *tenant, r request) (traced context.Context, end func(error)) {
	provider := c.engine.options.Tracer
	if provider == nil {
		return ctx, func(error) {}
	}
	ctx, span := provider.Tracer(tracerName).Start(ctx, "sync "+c.kind.Name, trace.WithNewRoot(), trace.WithAttributes(
		attribute.String("virtualcluster.kind", c.kind.Name),
		attribute.String("virtualcluster.direction", string(c.kind.Direction)),
		attribute.String("virtualcluster.tenant", t.VirtualCluster.String()),
		attribute.String("virtualcluster.namespace", r.Namespace),
		attribute.String("virtualcluster.name", r.Name),
	))
	return ctx, func(err error) { endSpan(span, err) }
}

// traceCall starts the span of a request within a pass that is traced.
func traceCall(ctx context.Context, at party, verb string) (traced context.Context, end func(error)) {
	pass := trace.SpanFromContext(ctx)
	if !pass.IsRecording() {
		return ctx, func(error) {}
	}
	ctx, span := pass.TracerProvider().Tracer(tracerName).Start(ctx, at.String()+" "+verb, trace.WithSpanKind(trace.SpanKindClient))
	return ctx, func(err error) { endSpan(span, err) }
}

func endSpan(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

// flushTimeout bounds how long the end of the process waits for its last spans.
const flushTimeout = 5 * time.Second

// tracing returns where spans go, or nil if they are not wanted. Nothing waits
// for the collector: one that does not answer loses spans and delays nobody.
func tracing(ctx context.Context, mgr manager.Manager, config configv1alpha1.Tracing) (trace.TracerProvider, error) {
	if config.Endpoint == "" {
		return nil, nil //nolint:nilnil // nil is what the engine takes for none.
	}
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpoint(config.Endpoint), otlptracegrpc.WithInsecure())
	if err != nil {
		return nil, fmt.Errorf("making the exporter of traces: %w", err)
	}
	const million = 1_000_000
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.TraceIDRatioBased(float64(config.SamplingRatePerMillion)/million)),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "syncer"))),
	)
	return provider, mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		<-ctx.Done()
		flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
		defer cancel()
		if err := provider.Shutdown(flush); err != nil {
			ctrl.LoggerFrom(ctx).Info("The last traces were not delivered", "error", err.Error())
		}
		return nil
	}))
}

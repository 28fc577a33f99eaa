// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"github.com/go-logr/logr"
)

// withLazyValues is logger.WithValues for values that are seldom logged: sinks
// encode values at once, and most passes say nothing.
func withLazyValues(logger logr.Logger, values ...any) logr.Logger {
	return logger.WithSink(&lazySink{LogSink: logger.GetSink(), values: values})
}

// lazySink gives its values to the sink below when something is logged.
type lazySink struct {
	logr.LogSink
	values []any
}

// Init implements logr.LogSink. The sink below is initialised.
func (s *lazySink) Init(logr.RuntimeInfo) {}

// Info implements logr.LogSink.
func (s *lazySink) Info(level int, message string, values ...any) {
	s.LogSink.WithValues(s.values...).Info(level, message, values...)
}

// Error implements logr.LogSink.
func (s *lazySink) Error(err error, message string, values ...any) {
	s.LogSink.WithValues(s.values...).Error(err, message, values...)
}

// WithValues implements logr.LogSink.
func (s *lazySink) WithValues(values ...any) logr.LogSink {
	return &lazySink{LogSink: s.LogSink, values: append(slices.Clip(s.values), values...)}
}

// WithName implements logr.LogSink.
func (s *lazySink) WithName(name string) logr.LogSink {
	return &lazySink{LogSink: s.LogSink.WithName(name), values: s.values}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// TestDialAgain: a connection that nobody answers is tried once more, one that
// is refused or made is not.
func TestDialAgain(t *testing.T) {
	refused := errors.New("refused")
	silent := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, tc := range map[string]struct {
		answers []func(context.Context) error
		want    error
	}{
		"answered":               {[]func(context.Context) error{func(context.Context) error { return nil }}, nil},
		"refused":                {[]func(context.Context) error{func(context.Context) error { return refused }}, refused},
		"no answer, then one":    {[]func(context.Context) error{silent, func(context.Context) error { return nil }}, nil},
		"no answer, then no":     {[]func(context.Context) error{silent, func(context.Context) error { return refused }}, refused},
		"nobody answers in time": {[]func(context.Context) error{silent, silent}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			dialled := 0
			dial := dialAgain(func(ctx context.Context, _, _ string) (net.Conn, error) {
				dialled++
				return nil, tc.answers[dialled-1](ctx)
			}, time.Millisecond)
			if _, err := dial(ctx, "tcp", "192.0.2.1:6443"); !errors.Is(err, tc.want) {
				t.Errorf("dial = %v, want %v", err, tc.want)
			}
			if dialled != len(tc.answers) {
				t.Errorf("dialled %d times, want %d", dialled, len(tc.answers))
			}
		})
	}
}

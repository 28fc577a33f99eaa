// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package await

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestSuccess(t *testing.T) {
	wrong := errors.New("wrong")
	calls := 0
	for name, tc := range map[string]struct {
		limit time.Duration
		check func(context.Context) error
		want  error
	}{
		"at once": {time.Hour, func(context.Context) error { return nil }, nil},
		"at last": {time.Hour, func(context.Context) error {
			if calls++; calls < 3 {
				return wrong
			}
			return nil
		}, nil},
		"never": {time.Millisecond, func(context.Context) error { return wrong }, wrong},
		"never, and the end of the time stops a call": {time.Millisecond, func() func(context.Context) error {
			called := false
			return func(ctx context.Context) error {
				if !called {
					called = true
					return wrong
				}
				<-ctx.Done()
				return ctx.Err()
			}
		}(), wrong},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Success(t.Context(), time.Microsecond, tc.limit, tc.check); !errors.Is(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

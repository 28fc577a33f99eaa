// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWaitStopped(t *testing.T) {
	errPart := errors.New("a part failed")
	cases := map[string]struct {
		cause  error // of the end of the context; nil: it does not end
		result error // of the parts
		hangs  bool
		want   error
	}{
		"a part fails":                {nil, errPart, false, errPart},
		"stopped in order":            {context.Canceled, nil, false, nil},
		"stopped, and a part hangs":   {context.Canceled, nil, true, nil},
		"a part fails, another hangs": {errPart, nil, true, errPart},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			if tc.cause != nil {
				cancel(tc.cause)
			}
			release := make(chan struct{})
			defer close(release)
			wait := func() error {
				if tc.hangs {
					<-release
				}
				return tc.result
			}
			after := func(time.Duration) <-chan time.Time {
				if !tc.hangs {
					return nil
				}
				passed := make(chan time.Time, 1)
				passed <- time.Time{}
				return passed
			}
			if got := waitStopped(ctx, wait, after); !errors.Is(got, tc.want) || (got == nil) != (tc.want == nil) {
				t.Errorf("waitStopped = %v, want %v", got, tc.want)
			}
		})
	}
}

// TestWithoutADatabase: nobody is waited for when the database has ended.
func TestWithoutADatabase(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := fmt.Errorf("%w: removed", errDatabaseEnded)
	cancel(ended)
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	got := waitStopped(ctx, func() error { <-never; return nil }, func(time.Duration) <-chan time.Time {
		t.Error("the other parts are waited for")
		return time.After(0)
	})
	if !errors.Is(got, ended) {
		t.Errorf("waitStopped = %v, want %v", got, ended)
	}
}

func TestMakeDirs(t *testing.T) {
	loose := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(loose, 0o755); err != nil {
		t.Fatal(err)
	}
	dirs := []string{loose, filepath.Join(loose, "run")}
	if err := makeDirs(dirs...); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != fs.FileMode(0o700) {
			t.Errorf("%s has mode %v: others may enter", dir, info.Mode())
		}
	}
}

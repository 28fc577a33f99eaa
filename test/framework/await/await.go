// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package await waits for what a test expects of a system that it has started.
package await

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Success calls check, at once and then after each interval, until it returns
// nil. After limit, or when ctx has ended, it returns the last error that was
// check's own: that the time is over says less than what was wrong before. The
// context that check gets ends with the limit.
func Success(ctx context.Context, interval, limit time.Duration, check func(context.Context) error) error {
	last := errors.New("the first check did not end")
	err := wait.PollUntilContextTimeout(ctx, interval, limit, true, func(ctx context.Context) (bool, error) {
		err := check(ctx)
		if err == nil || ctx.Err() == nil {
			last = err
		}
		return err == nil, nil
	})
	if err == nil {
		return nil
	}
	return last
}

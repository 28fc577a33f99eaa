// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// errSuperWentBack ends the engine: its caches of the super cluster show a past
// that is gone, and a watch does not notice.
var errSuperWentBack = errors.New("the super cluster's database is older than what was read from it, as after a restore: starting anew")

// lookAtSuper compares the super cluster's database with what its caches have
// shown, and ends the engine when it was set back.
func (e *Engine) lookAtSuper(ctx context.Context, end context.CancelCauseFunc) {
	for e.pause(ctx, lookInterval) {
		for _, c := range e.controllers {
			if c.kind.Direction != kind.Down {
				continue
			}
			if err := c.lookAtSuper(ctx); errors.Is(err, errSuperWentBack) {
				end(err)
				return
			} else if err != nil && ctx.Err() == nil {
				ctrl.LoggerFrom(ctx).V(1).Info("Cannot look at the super cluster", "kind", c.kind.Name, "error", err.Error())
			}
		}
	}
}

// lookAtSuper compares one kind: a super cluster may keep kinds in databases of
// their own, whose versions have nothing to do with each other.
func (c *controller) lookAtSuper(ctx context.Context) error {
	shown := c.superShown.get() // before the database is asked: it only grows
	if shown == "" {
		return nil
	}
	list, err := listOf(c.engine.options.Super.GetScheme(), c.kind.New())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	if err := c.engine.options.Super.GetAPIReader().List(ctx, list, client.Limit(1)); err != nil {
		return fmt.Errorf("reading the super cluster's version: %w", err)
	}
	if isBehind(list.GetResourceVersion(), shown) {
		return fmt.Errorf("%w (%s is at version %s, and was at %s)", errSuperWentBack, c.kind.Name, list.GetResourceVersion(), shown)
	}
	return nil
}

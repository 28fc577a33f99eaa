// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// heal lets the kind change the tenant's object so that what was refused can
// work, or go on with a change that has several steps. It returns a Wait if it
// has changed something: the next pass sees the outcome.
func (p *pass) heal(ctx context.Context, refusal error) error {
	k := p.controller.kind
	if k.Heal == nil || p.tenant == nil || !p.tenant.GetDeletionTimestamp().IsZero() {
		return nil
	}
	healed := p.tenant.DeepCopyObject().(client.Object)
	if !k.Heal(p.env, healed, refusal) {
		return nil
	}
	if refusal != nil && p.controller.queue.Failures(p.request) < healPatience {
		return kind.Wait("what is in its way in the super cluster")
	}
	if err := p.patchTenant(ctx, healed); err != nil {
		return fmt.Errorf("changing what was refused: %w", err)
	}
	return kind.Wait("a change that the platform makes to the object")
}

// healPatience is how many tries (about a second) a refusal is worth before the
// tenant's object is changed for it: what is in the way may be the object's own
// forerunner, or another of the tenant's that is just going.
const healPatience = 6

// healed returns what became of an error: what heal says, or itself.
func (p *pass) healed(ctx context.Context, err error) error {
	refusal := err
	if p.refusal != nil {
		refusal = p.refusal
	}
	if err == nil || !isRefusal(refusal) {
		return err
	}
	if healing := p.heal(ctx, refusal); healing != nil {
		return healing
	}
	return err
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// keptError says that a super object is not deleted now.
type keptError struct {
	// again is when to ask again; zero means when the brake lets go.
	again time.Duration
}

// Error implements error.
func (e *keptError) Error() string {
	if e.again > 0 {
		return "its absence in the tenant may not last"
	}
	return "deletions of this tenant are held"
}

// judgeInterval is how long a request waits while another collects evidence.
const judgeInterval = 200 * time.Millisecond

// mayRemove asks the brake about the deletion of p.super, unless somebody in the
// tenant was seen to delete its object, or still does.
func (p *pass) mayRemove(ctx context.Context) error {
	exists := p.tenant != nil && p.tenant.GetUID() == p.owner.UID
	switch {
	case exists && !p.tenant.GetDeletionTimestamp().IsZero(), p.controller.witness.has(p.request, p.owner.UID):
		return nil
	case exists:
		return p.kept(p.tenantCluster.brake.mayTidy(p.orphanKey()))
	}
	a := p.tenantCluster.brake.mayRemove(p.orphanKey())
	if !a.judge {
		return p.kept(a)
	}
	if done, err := p.controller.engine.judge(ctx, p.tenantCluster); err != nil {
		return err
	} else if !done {
		return &keptError{again: judgeInterval}
	}
	if p.controller.witness.has(p.request, p.owner.UID) { // the tenant's history tells
		return nil
	}
	return p.kept(p.tenantCluster.brake.mayRemove(p.orphanKey()))
}

// kept turns the brake's answer into the outcome of the pass.
func (p *pass) kept(a answer) error {
	switch {
	case a.held:
		p.controller.engine.metrics.held(p.controller.kind)
		return &keptError{}
	case a.judge:
		return &keptError{again: judgeInterval}
	case a.wait > 0:
		return &keptError{again: a.wait}
	default:
		return nil
	}
}

func (p *pass) orphanKey() orphanKey {
	return orphanKey{p.controller.kind.Name, p.request.NamespacedName}
}

// settled records that super holds nothing of this name but what stands for
// the tenant's object uid, or nothing at all.
func (p *pass) settled(uid types.UID) {
	p.controller.witness.settle(p.request, uid)
	if uid == "" {
		p.tenantCluster.brake.present(p.orphanKey())
	}
}

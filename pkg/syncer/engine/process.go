// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// orphanGrace ends a super object whose tenant object is gone already. It is
// not zero: zero would remove the super object while its containers still run,
// and a successor of the same name could run beside them.
const orphanGrace = 1

// endPatience is how long an object may be on its way out before its deletion
// is asked for again.
const endPatience = 5 * time.Second

// process runs a kind of Lifecycle Process: an object that runs once.
func (p *pass) process(ctx context.Context) (time.Duration, error) {
	switch {
	case p.tenant == nil && p.super == nil:
		p.controller.ended.forget(p.tenantKey())
		return 0, p.unmeterAbsent(ctx)
	case p.super != nil && (p.tenant == nil || p.owner.UID != p.tenant.GetUID()):
		grace := int64(orphanGrace)
		return 0, p.removeSuper(ctx, &grace)
	case !p.tenant.GetDeletionTimestamp().IsZero():
		return p.terminate(ctx)
	case p.super == nil:
		return p.absent(ctx)
	case !p.super.GetDeletionTimestamp().IsZero() && !p.controller.kind.Finished(p.tenant):
		return 0, p.terminateTenant(ctx)
	default:
		return p.keepRunning(ctx)
	}
}

// absent decides what it means that there is no super object: it has not been
// made yet, or it has vanished, or nothing is amiss.
func (p *pass) absent(ctx context.Context) (time.Duration, error) {
	k := p.controller.kind
	switch {
	case k.Finished(p.tenant) || !p.selected(ctx):
		return 0, nil
	case k.Bound(p.tenant):
		return p.vanished(ctx)
	default:
		return p.keepRunning(ctx)
	}
}

// keepRunning brings both sides of a living object up to date. No step waits
// for another to succeed once the super object exists: a change that the super
// cluster refuses must not hide how the pod does, nor a webhook of the tenant
// that denies the report keep its token from being renewed.
func (p *pass) keepRunning(ctx context.Context) (time.Duration, error) {
	existed := p.super != nil
	applyErr := p.apply(ctx)
	if applyErr != nil && !existed {
		if err := p.hold(ctx, applyErr); err != nil {
			return 0, err
		}
		return 0, applyErr
	}
	bindErr, reportErr := p.bind(ctx), p.report(ctx)
	again, attachErr := p.attach(ctx)
	return again, errors.Join(applyErr, bindErr, reportErr, attachErr)
}

// terminate passes a tenant's graceful deletion on, reports how it goes, and
// ends the tenant's object once the super object is confirmed gone.
func (p *pass) terminate(ctx context.Context) (time.Duration, error) {
	if p.super == nil {
		gone, err := p.confirmSuperGone(ctx)
		if err != nil || !gone {
			return 0, err
		}
		p.unmeter()
		return p.endTenant(ctx)
	}
	deadline := p.tenant.GetDeletionTimestamp().Time
	if superDeadline := p.super.GetDeletionTimestamp(); superDeadline == nil || superDeadline.After(deadline.Add(time.Second)) {
		remaining := math.Ceil(deadline.Sub(p.controller.engine.options.Clock.Now()).Seconds())
		grace := max(int64(remaining), orphanGrace)
		// A super object that has at most this long already needs no second word.
		if superGrace := p.super.GetDeletionGracePeriodSeconds(); superGrace == nil || *superGrace > grace {
			if err := p.removeSuper(ctx, &grace); err != nil {
				return 0, err
			}
		}
	}
	return 0, p.report(ctx)
}

// vanished ends the tenant's object of a super object that somebody removed.
func (p *pass) vanished(ctx context.Context) (time.Duration, error) {
	gone, err := p.confirmSuperGone(ctx)
	if err != nil || !gone {
		return 0, err
	}
	p.unmeter()
	return p.endTenant(ctx)
}

// terminateTenant shows the tenant that the super cluster is ending its
// object, with the time that is left.
func (p *pass) terminateTenant(ctx context.Context) error {
	remaining := math.Ceil(p.super.GetDeletionTimestamp().Sub(p.controller.engine.options.Clock.Now()).Seconds())
	return p.deleteTenant(ctx, max(int64(remaining), orphanGrace))
}

// endTenant removes the tenant's object at once: what it stood for is gone. An
// object that finalizers hold after that needs nothing more of us. One that
// nothing holds is going, unless whoever deleted it died in the middle: an API
// server marks the object first and removes it then, and stops in between when
// its client's connection breaks. No kubelet of the tenant asks again; we do.
func (p *pass) endTenant(ctx context.Context) (time.Duration, error) {
	if p.controller.tenantDeletions.holds(p.tenantKey(), p.tenant.GetUID()) {
		return overlayTTL + time.Second, nil // the cache may not show it yet
	}
	if grace := p.tenant.GetDeletionGracePeriodSeconds(); grace != nil && *grace == 0 {
		if len(p.tenant.GetFinalizers()) > 0 {
			return 0, nil
		}
		if p.controller.engine.options.Clock.Since(p.tenant.GetDeletionTimestamp().Time) < endPatience {
			return overlayTTL + time.Second, nil
		}
	}
	return 0, p.deleteTenant(ctx, 0)
}

func (p *pass) deleteTenant(ctx context.Context, grace int64) error {
	uid := p.tenant.GetUID()
	if grace == 0 {
		// Before the deletion, whose event takes the note away.
		asked := p.controller.kind.New()
		asked.SetUID(uid)
		p.controller.tenantDeletions.created(p.tenantKey(), asked)
	}
	err := p.tenantCluster.client.Delete(ctx, p.tenant,
		client.Preconditions{UID: &uid}, client.GracePeriodSeconds(grace))
	p.wroteTenant("delete")
	p.controller.tenantWrites.forget(p.tenantKey())
	if err != nil {
		p.controller.tenantDeletions.forget(p.tenantKey())
	}
	// A conflict means that it was not this object that was found: either its
	// namesake, which the cache will show, or nothing that is known. The next pass tells.
	if err := client.IgnoreNotFound(err); err != nil {
		return fmt.Errorf("deleting the tenant's object: %w", err)
	}
	p.ahead = p.ahead || grace == 0
	return nil
}

func (p *pass) tenantKey() overlayKey {
	return overlayKey{p.tenantCluster.ID, p.request.NamespacedName}
}

// confirmUnstarted reads the tenant live before something that runs once is
// started: another syncer may have started, seen the end of, and removed it
// while this one was frozen, and does not know yet that it no longer leads.
func (p *pass) confirmUnstarted(ctx context.Context) error {
	k := p.controller.kind
	if k.Lifecycle != kind.Process || p.knownUnstarted() {
		return nil
	}
	live, err := p.read(ctx, p.tenantCluster.GetAPIReader(), p.request.NamespacedName)
	if err != nil {
		return fmt.Errorf("confirming that the tenant's object waits for its start: %w", err)
	}
	if live == nil || live.GetUID() != p.tenant.GetUID() || !live.GetDeletionTimestamp().IsZero() || k.Bound(live) {
		return kind.Wait("the tenant's cache")
	}
	return nil
}

// knownUnstarted reports that nobody but this engine can have started the object,
// and that it has not.
func (p *pass) knownUnstarted() bool {
	c, key, uid := p.controller, p.tenantKey(), p.tenant.GetUID()
	return c.engine.options.Sole(p.tenantCluster.ID) && !c.ended.has(key, uid) && c.bindings.latest(key, nil) == nil
}

// confirmSuperGone reads the super cluster live, unless it has said so itself: a
// cache that shows nothing may only be late.
func (p *pass) confirmSuperGone(ctx context.Context) (bool, error) {
	if p.controller.ended.has(p.tenantKey(), p.tenant.GetUID()) {
		return true, nil
	}
	live, err := p.read(ctx, p.controller.engine.options.Super.GetAPIReader(), p.superKey)
	if err != nil {
		return false, fmt.Errorf("confirming that the super object is gone: %w", err)
	}
	if live == nil {
		return true, nil
	}
	owner, ours := p.ownerOf(live)
	return !ours || owner.UID != p.tenant.GetUID(), nil
}

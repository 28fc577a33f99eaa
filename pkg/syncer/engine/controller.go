// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/quota"
)

// Delays of requests that wait for something, which are no failures.
const (
	waitBase = 20 * time.Millisecond
	waitMax  = 2 * time.Second
	// patience is how many waits pass before the tenant is told, and the next look
	// is longWait away: eight and a half seconds, because it must be ten at most.
	patience = 10
	longWait = 20 * time.Second
	// showPatience is how many waits an upward object is worth.
	showPatience = 6
)

// controller runs one kind for all tenants.
type controller struct {
	engine *Engine
	kind   *kind.Translator
	queue  *fairQueue
	ledger *quota.Ledger // nil for a kind that needs no quota

	tenantWrites, superWrites, attachmentWrites *overlay
	// superShown is the highest version that the super cluster's cache has shown.
	superShown highest
	// superDeletions holds the super objects whose end was asked for, with the
	// grace they were given, until the cache shows it.
	superDeletions *overlay
	witness        *witness
	changes        *changes
	troubles       *troubles
	// tenantDeletions holds the tenant objects that were removed at once.
	tenantDeletions *overlay
	// bindings holds the tenant objects that were bound, until the cache shows it.
	bindings *overlay
	// ended holds the UIDs of tenant objects whose super object was seen to go.
	ended *marks
}

func newController(e *Engine, translator *kind.Translator) *controller {
	c := &controller{
		engine: e,
		kind:   translator,
		queue: newFairQueue(queueOptions{
			clock: e.options.Clock,
			// However slow a tenant answers, most workers are there for others.
			maxInFlight: max(1, e.options.Workers/4),
			bounded:     translator.Placement != nil,
			pace:        translator.Pace, paceBurst: translator.PaceBurst, busy: e.busy,
			baseDelay: e.options.BaseDelay, maxDelay: e.options.MaxDelay,
		}),
		tenantWrites: newOverlay(e.options.Clock), superWrites: newOverlay(e.options.Clock), attachmentWrites: newOverlay(e.options.Clock),
		superDeletions: newOverlay(e.options.Clock), tenantDeletions: newOverlay(e.options.Clock),
		bindings: newOverlay(e.options.Clock), ended: newMarks(), witness: newWitness(), changes: newChanges(), troubles: newTroubles(),
	}
	c.ledger = c.newLedger()
	return c
}

// busy reports whether a tenant's pods are being started, ended or reported about.
func (e *Engine) busy(tenant string) bool {
	return slices.ContainsFunc(e.controllers, func(c *controller) bool { return c.kind.Placement != nil && c.queue.Busy(tenant) })
}

// work serves the queue until it is closed.
func (c *controller) work(ctx context.Context) {
	for {
		r, added, ok := c.queue.Get()
		if !ok {
			return
		}
		c.serve(ctx, r, added)
		c.queue.Done(r)
	}
}

// serve runs one request and decides when it runs again.
func (c *controller) serve(ctx context.Context, r request, added time.Time) {
	t := c.engine.tenant(r.Tenant)
	if t == nil {
		c.queue.Forget(r)
		return
	}
	done, connected := t.Use()
	if !connected {
		c.queue.Forget(r)
		return
	}
	defer done()
	if wait := t.enter(); wait > 0 {
		c.queue.Defer(r)
		c.queue.Pause(r.Tenant, wait)
		return
	}
	c.engine.metrics.waited(c.kind, c.engine.options.Clock.Since(added))
	log := withLazyValues(ctrl.LoggerFrom(ctx), "kind", c.kind.Name, "virtualCluster", t.VirtualCluster, "namespace", r.Namespace, "name", r.Name)
	// The tenant's context ends the request when the tenant is disengaged; the
	// engine's own end does not cut a write short.
	reconcileCtx, cancel := context.WithTimeout(ctrl.LoggerInto(t.ctx, log), c.engine.options.RequestTimeout)
	defer cancel()
	reconcileCtx, made := withCalls(reconcileCtx)
	defer t.leave(made)
	p := &pass{controller: c, tenantCluster: t, request: r, added: added}
	reconcileCtx, endTrace := c.trace(reconcileCtx, t, r)
	again, err := p.reconcile(reconcileCtx)
	endTrace(err)
	p.measure(err)
	if p.wrote {
		c.queue.Wrote(r)
	}
	c.settle(reconcileCtx, p, again, err)
}

// settle turns the outcome of a pass into the queue's next step and what the tenant is told.
func (c *controller) settle(ctx context.Context, p *pass, again time.Duration, err error) {
	reject := kind.AsReject(err)
	var kept *keptError
	var full *noRoomError
	switch {
	case errors.As(err, &kept):
		c.queue.Forget(p.request)
		if kept.again > 0 {
			c.queue.AddAfter(p.request, kept.again)
		}
		c.finished(p, stateHeld)
	case err == nil:
		c.queue.Forget(p.request)
		if p.ahead {
			// The event that the cache is waiting for comes first, unless the
			// object went before the write was remembered.
			c.queue.AddAfter(p.request, overlayTTL+time.Second)
		}
		if again > 0 {
			c.queue.AddAfter(p.request, again)
		}
		c.finished(p, stateSynced)
	case reject != nil:
		p.tell(ctx, ReasonRejected, reject.Error())
		if p.refusedBySuper {
			c.queue.Retry(p.request) // what is in the way may go
		} else {
			c.queue.Forget(p.request)
		}
		c.finished(p, stateRejected)
	case errors.As(err, &full):
		c.full(ctx, p, full)
	case kind.IsWait(err) || apierrors.IsConflict(err):
		c.wait(ctx, p, err)
	default:
		c.fail(ctx, p, err)
	}
}

// full tells the tenant that its quota has no room for the object, and leaves the
// rest to the ledger.
func (c *controller) full(ctx context.Context, p *pass, err error) {
	c.finished(p, stateWaiting)
	p.tell(ctx, ReasonUnplaced, err.Error())
	c.queue.Forget(p.request)
}

// wait tries again soon, and tells the tenant when it has been long.
func (c *controller) wait(ctx context.Context, p *pass, err error) {
	c.finished(p, stateWaiting)
	if kind.IsUnplaced(err) {
		p.tell(ctx, ReasonUnplaced, err.Error())
	}
	waits := c.queue.Failures(p.request)
	if c.kind.Direction == kind.Up && !c.kind.Mirror && waits >= showPatience {
		c.queue.Forget(p.request)
		return
	}
	limit := waitMax
	if waits >= patience {
		limit = longWait
		if kind.IsWait(err) && !kind.IsUnplaced(err) {
			p.tell(ctx, ReasonWaiting, p.scrub(err.Error()))
		}
	}
	c.queue.Wait(p.request, waitBase, limit)
}

// fail retries with the item's own back-off.
func (c *controller) fail(ctx context.Context, p *pass, err error) {
	c.finished(p, stateFailed)
	if p.tenantCluster.ctx.Err() != nil {
		return
	}
	ctrl.LoggerFrom(ctx).Info("Sync failed, trying again", "error", err.Error(), "failures", c.queue.Failures(p.request))
	if complaint := p.complaint(err); complaint != "" {
		p.tell(ctx, ReasonFailed, complaint)
	}
	c.queue.Retry(p.request)
}

// complaint is what the tenant is told about an error: what a refusal says, or
// nothing, because trouble with a connection is not its concern. The answer to
// a write that a webhook of the super cluster should have judged names the
// webhook and where it runs, which is not its concern either.
func (p *pass) complaint(err error) string {
	switch {
	case apierrors.IsInternalError(p.refusal) && strings.Contains(p.refusal.Error(), "failed calling webhook"):
		return "an admission webhook of the platform's cluster does not answer; it is tried again"
	case isRefusal(err):
		return p.scrub(err.Error())
	default:
		return ""
	}
}

// isRefusal reports errors by which an API server says that the content is wrong.
func isRefusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsForbidden(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}

// tell writes a Warning event on the tenant's object, if there is one.
func (p *pass) tell(ctx context.Context, reason, message string) {
	if p.tenant == nil {
		ctrl.LoggerFrom(ctx).Info("Nobody to tell", "reason", reason, "message", message)
		return
	}
	p.controller.engine.recorder.warn(ctx, p.tenantCluster.client, p.tenant, reason, message)
}

// scrub replaces the super cluster's names in a message by the tenant's.
func (p *pass) scrub(message string) string {
	if p.request.Namespace != "" {
		message = strings.ReplaceAll(message, p.superKey.Namespace, p.request.Namespace)
	}
	return strings.ReplaceAll(message, p.superKey.Name, p.request.Name)
}

// note is something that Down has to tell the tenant.
type note struct{ reason, message string }

// newEnv returns what the kind may know. What it tells is kept until it is known
// that the object is synced.
func (p *pass) newEnv() kind.Env {
	env := p.tenantCluster.env()
	env.Warn = func(field, remedy string) {
		p.notes = append(p.notes, note{ReasonIgnored, field + ": " + remedy})
	}
	env.Changed = func(field, why string) {
		p.notes = append(p.notes, note{ReasonChanged, field + ": " + why})
	}
	return env
}

// tellNotes sends what Down has told.
func (p *pass) tellNotes(ctx context.Context) {
	for _, n := range p.notes {
		p.tell(ctx, n.reason, n.message)
	}
}

// found turns the result of a Get into an object, or nil if there is none.
func found[T client.Object](object T, err error) (client.Object, error) {
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return object, nil
}

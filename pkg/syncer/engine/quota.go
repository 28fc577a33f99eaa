// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/quota"
)

// noRoomError says that an object has no room in its tenant's quota. It is not
// tried again by the clock: the ledger calls when there may be room.
type noRoomError struct{ error }

// Unwrap implements errors.Unwrap.
func (e *noRoomError) Unwrap() error { return e.error }

// newLedger returns the books of a kind's quota, or nil if it needs none.
func (c *controller) newLedger() *quota.Ledger {
	if c.kind.Demand == nil {
		return nil
	}
	return quota.New(func(tenant string, key types.NamespacedName) {
		c.queue.Add(request{Tenant: tenant, NamespacedName: key}, begin)
	})
}

// meter puts a tenant's quota, as it is now, in force. For one that has none yet
// it counts live what the tenant has: what a replica that served it before has
// just created, the cache may not show.
func (e *Engine) meter(t *tenant) error {
	facts, _ := t.Facts()
	for _, c := range e.controllers {
		if c.ledger == nil || !c.ledger.Limit(t.ID, facts.Quota) {
			continue
		}
		ctx, cancel := context.WithTimeout(t.ctx, e.options.RequestTimeout)
		holdings, err := c.holdings(ctx, t)
		cancel()
		if err != nil {
			return fmt.Errorf("counting what the tenant has: %w", err)
		}
		c.ledger.Load(t.ID, holdings)
	}
	return nil
}

func (c *controller) holdings(ctx context.Context, t *tenant) ([]quota.Holding, error) {
	var holdings []quota.Holding
	var errs []error
	ofTenant := []client.ListOption{client.MatchingLabelsSelector{Selector: identity.TenantSelector(t.ID)}}
	err := c.engine.tryEach(ctx, c.engine.options.Super.GetAPIReader(), c.kind.New(), ofTenant, func(super client.Object) {
		holding, err := c.holding(ctx, super)
		holdings, errs = append(holdings, holding), append(errs, err)
	})
	return holdings, errors.Join(append(errs, err)...)
}

// holding returns what a super object asks for.
func (c *controller) holding(ctx context.Context, super client.Object) (quota.Holding, error) {
	owner, _ := identity.Of(super)
	demand, err := c.kind.Demand(ctx, c.engine.options.Super.GetClient(), super)
	return quota.Holding{
		Key: client.ObjectKeyFromObject(super), UID: super.GetUID(), Stands: owner.UID,
		Version: super.GetResourceVersion(), Demand: demand,
	}, err
}

// count enters a change of a super object into the books.
func (c *controller) count(ctx context.Context) func(client.Object, bool) {
	return func(super client.Object, deleted bool) {
		owner, ok := identity.Of(super)
		if !ok || !c.ledger.Metered(owner.TenantID) {
			return
		}
		if deleted {
			c.ledger.Gone(owner.TenantID, client.ObjectKeyFromObject(super), super.GetUID())
			return
		}
		holding, err := c.holding(ctx, super)
		if err != nil { // of what exists nothing has to be looked up
			ctrl.LoggerFrom(ctx).Error(err, "Cannot count a super object", "kind", c.kind.Name)
			return
		}
		c.ledger.Observe(owner.TenantID, holding)
	}
}

// metered reports whether a quota binds the object.
func (p *pass) metered() bool {
	return p.controller.ledger != nil && p.controller.ledger.Metered(p.tenantCluster.ID)
}

// reserve sets aside what super will ask for, or says that it does not fit.
func (p *pass) reserve(ctx context.Context, super client.Object) error {
	if !p.metered() {
		return nil
	}
	holding, err := p.controller.holding(ctx, super)
	if err != nil {
		return err
	}
	if holding.Demand == nil {
		return nil
	}
	p.asked = true
	err = p.controller.ledger.Reserve(p.tenantCluster.ID, holding, p.request.NamespacedName)
	var exceeded *quota.ExceededError
	switch {
	case errors.Is(err, quota.ErrNotLoaded):
		return kind.Wait("the platform to count what the virtual cluster has")
	case errors.As(err, &exceeded):
		return &noRoomError{kind.Unplaced("%s", noRoom(exceeded))}
	default:
		return err
	}
}

// putOff tells the tenant of a change for which its quota has no room, and takes
// it off the pass: the object goes on as it is, and the ledger calls.
func (p *pass) putOff(ctx context.Context, err error) error {
	var full *noRoomError
	if !errors.As(err, &full) {
		return err
	}
	p.tell(ctx, ReasonWaiting, "resize: "+full.Error())
	return nil
}

// noRoom says in a scheduler's words what there is too little of, and then why.
func noRoom(exceeded *quota.ExceededError) string {
	message := policy.UnplacedPrefix
	for i, name := range exceeded.Resources {
		if i > 0 {
			message += ", "
		}
		if name == corev1.ResourcePods {
			message += "1 Too many pods"
		} else {
			message += "1 Insufficient " + string(name)
		}
	}
	return message + ". Quota of the virtual cluster: " + exceeded.Error() +
		". It is tried again when pods end or the quota is raised."
}

// reserved ends a reservation once it is known what became of it: object is what
// the super cluster made, or nil. After an error that leaves open whether it did
// what was asked the reservation stays, until a watch or the next pass shows it.
func (p *pass) reserved(ctx context.Context, object client.Object, err error) {
	switch {
	case !p.metered():
	case err == nil && object != nil:
		if holding, countErr := p.controller.holding(ctx, object); countErr == nil {
			p.controller.ledger.Settle(p.tenantCluster.ID, holding)
		}
	case isDefinite(err):
		p.controller.ledger.Release(p.tenantCluster.ID, p.superKey)
	default:
		p.controller.ledger.Doubt(p.tenantCluster.ID, p.superKey)
	}
}

// clearDoubt finds out live what became of a write whose answer was lost: the
// cache may be late, and the tenant may want something else by now, or nothing.
func (p *pass) clearDoubt(ctx context.Context) error {
	if !p.metered() {
		return nil
	}
	if _, doubt := p.controller.ledger.Holds(p.tenantCluster.ID, p.superKey); !doubt {
		return nil
	}
	live, ours, err := p.adopt(ctx)
	switch {
	case err != nil:
		return err
	case ours:
		p.reserved(ctx, live, nil)
	default:
		p.unmeter()
	}
	return nil
}

// notAsked has the object not wait for room that it did not come to ask for: it
// was withdrawn, or something else holds it up now, and others may have the room.
func (p *pass) notAsked() {
	if p.metered() {
		p.controller.ledger.Skip(p.tenantCluster.ID, p.superKey)
	}
}

// isDefinite reports an error after which nothing has been written.
func isDefinite(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || apierrors.IsAlreadyExists(err) {
		return false // what exists may be an earlier attempt's
	}
	code := status.Status().Code
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError && code != http.StatusRequestTimeout
}

// unmeter gives back whatever is left of an object that is gone on both sides.
func (p *pass) unmeter() {
	if p.metered() {
		p.controller.ledger.Leave(p.tenantCluster.ID, p.superKey)
	}
}

// unmeterAbsent does so where only caches say that it is gone. What still counts
// may be about to be shown: a pod that was made and asked to end at once has its
// grace. Then the watch tells of its end.
func (p *pass) unmeterAbsent(ctx context.Context) error {
	if !p.metered() {
		return nil
	}
	if counts, _ := p.controller.ledger.Holds(p.tenantCluster.ID, p.superKey); counts {
		live, err := p.read(ctx, p.controller.engine.options.Super.GetAPIReader(), p.superKey)
		if err != nil {
			return fmt.Errorf("confirming that the super object is gone: %w", err)
		}
		if live != nil {
			if _, ours := p.ownerOf(live); ours {
				return nil
			}
		}
	}
	p.unmeter()
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// AnnotationView is the annotation of a Lease by which its holder says that it
// serves nothing that this view, the names of the Leases held, gives to others.
const AnnotationView = "tenancy.virtualcluster.io/shard-view"

// errFull is returned when there are more replicas than slots.
var errFull = errors.New("all slots are held")

// sighting is when this replica first saw a Lease as it is.
type sighting struct {
	resourceVersion string
	since           time.Time
}

// slotName is the Lease of a number.
func (g *Group) slotName(number int) string {
	if number == 0 {
		return g.options.Name
	}
	return fmt.Sprintf("%s-%d", g.options.Name, number)
}

// list returns the slots' Leases by name. It is a read at the latest version:
// what settle concludes rests on that.
func (g *Group) list(ctx context.Context) (map[string]*coordinationv1.Lease, error) {
	var list coordinationv1.LeaseList
	if err := g.options.Client.List(ctx, &list, client.InNamespace(g.options.Namespace)); err != nil {
		return nil, fmt.Errorf("listing leases: %w", err)
	}
	byName := map[string]*coordinationv1.Lease{}
	for i := range list.Items {
		byName[list.Items[i].Name] = &list.Items[i]
	}
	leases := map[string]*coordinationv1.Lease{}
	for number := range MaxReplicas {
		if lease := byName[g.slotName(number)]; lease != nil {
			leases[lease.Name] = lease
		}
	}
	return leases, nil
}

func holder(lease *coordinationv1.Lease) string {
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// observe remembers since when each Lease has been as it is.
func (g *Group) observe(leases map[string]*coordinationv1.Lease) {
	for name, lease := range leases {
		if g.seen[name].resourceVersion != lease.ResourceVersion {
			g.seen[name] = sighting{lease.ResourceVersion, g.options.Clock.Now()}
		}
	}
}

// expired reports a Lease that has not changed for as long as its holder had.
func (g *Group) expired(lease *coordinationv1.Lease) bool {
	duration := g.options.LeaseDuration
	if seconds := lease.Spec.LeaseDurationSeconds; seconds != nil {
		duration = time.Duration(*seconds) * time.Second
	}
	return holder(lease) != "" && g.options.Clock.Since(g.seen[lease.Name].since) >= duration
}

// fence empties the Leases of replicas that are gone. A renewal that arrives
// meanwhile wins, because the Lease is written under its resourceVersion.
func (g *Group) fence(ctx context.Context, leases map[string]*coordinationv1.Lease) {
	for name, lease := range leases {
		if name == g.slot || !g.expired(lease) {
			continue
		}
		log := ctrl.LoggerFrom(ctx).WithValues("lease", name, "holder", holder(lease))
		if err := g.empty(ctx, lease); err != nil {
			log.Info("Cannot empty the Lease of a lost replica", "reason", err.Error())
			continue
		}
		log.Info("A replica is lost; its tenants are taken over")
	}
}

// empty leaves the Lease to whoever wants it. lease is as it is afterwards.
func (g *Group) empty(ctx context.Context, lease *coordinationv1.Lease) error {
	nobody := ""
	emptied := lease.DeepCopy()
	emptied.Spec.HolderIdentity = &nobody
	delete(emptied.Annotations, AnnotationView)
	if err := g.write(ctx, lease, emptied); err != nil {
		return fmt.Errorf("emptying lease %s: %w", lease.Name, err)
	}
	*lease = *emptied
	return nil
}

// write changes a Lease, unless somebody else has meanwhile.
func (g *Group) write(ctx context.Context, before, after *coordinationv1.Lease) error {
	return g.options.Client.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// release gives the own Lease back.
func (g *Group) release(ctx context.Context, slot string) error {
	leases, err := g.list(ctx)
	if err != nil {
		return err
	}
	if lease := leases[slot]; lease != nil && holder(lease) == g.options.Identity {
		return g.empty(ctx, lease)
	}
	return nil
}

// claim takes a slot: the one that this replica held before a crash, else the
// first that is free. So a pod's successor gets its tenants.
func (g *Group) claim(ctx context.Context, leases map[string]*coordinationv1.Lease) error {
	free := -1
	for number := range MaxReplicas {
		lease := leases[g.slotName(number)]
		switch {
		case lease != nil && holder(lease) == g.options.Identity:
			return g.take(ctx, g.slotName(number), lease)
		case free < 0 && (lease == nil || holder(lease) == "" || g.expired(lease)):
			free = number
		}
	}
	if free < 0 {
		return errFull
	}
	name := g.slotName(free)
	return g.take(ctx, name, leases[name])
}

// take writes this replica into a Lease, which is made if it is nil.
func (g *Group) take(ctx context.Context, name string, lease *coordinationv1.Lease) error {
	taken := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: g.options.Namespace, Name: name}}
	if lease != nil {
		taken = lease.DeepCopy()
		delete(taken.Annotations, AnnotationView)
	}
	now := g.options.Clock.Now()
	g.fill(taken, now)
	acquired := metav1.NewMicroTime(now)
	taken.Spec.AcquireTime = &acquired
	var err error
	if lease == nil {
		err = g.options.Client.Create(ctx, taken)
	} else {
		transitions := int32(0)
		if taken.Spec.LeaseTransitions != nil {
			transitions = *taken.Spec.LeaseTransitions
		}
		if holder(lease) != g.options.Identity {
			transitions++
		}
		taken.Spec.LeaseTransitions = &transitions
		err = g.write(ctx, lease, taken)
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil // another replica was first
	}
	if err != nil {
		return fmt.Errorf("taking lease %s: %w", name, err)
	}
	g.slot = name
	g.mu.Lock()
	g.renewed, g.self.ID, g.self.Weight = now, name, 1
	g.mu.Unlock()
	ctrl.LoggerFrom(ctx).Info("Took a Lease", "lease", name)
	return nil
}

// renew writes the own Lease, with the view that this replica is done with.
func (g *Group) renew(ctx context.Context, lease *coordinationv1.Lease) error {
	now := g.options.Clock.Now()
	said := lease.Annotations[AnnotationView] == g.view || !g.done
	if said && g.remaining() > g.renewDeadline()-g.retryPeriod() {
		return nil // a look between two renewals
	}
	renewed := lease.DeepCopy()
	g.fill(renewed, now)
	if g.done {
		metav1.SetMetaDataAnnotation(&renewed.ObjectMeta, AnnotationView, g.view)
	}
	if err := g.write(ctx, lease, renewed); err != nil {
		return fmt.Errorf("renewing lease %s: %w", lease.Name, err)
	}
	g.mu.Lock()
	g.renewed = now
	g.mu.Unlock()
	return nil
}

// fill writes what a holder writes each time. The time of the renewal is for
// people: nobody's clock is compared with it.
func (g *Group) fill(lease *coordinationv1.Lease, now time.Time) {
	seconds := int32((g.options.LeaseDuration + time.Second - 1) / time.Second)
	renewTime := metav1.NewMicroTime(now)
	lease.Spec.HolderIdentity = &g.options.Identity
	lease.Spec.LeaseDurationSeconds = &seconds
	lease.Spec.RenewTime = &renewTime
}

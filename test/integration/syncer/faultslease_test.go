// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

// testLease (F04): two syncers of which one leads, and then two that share the
// tenants, while clients write. A Lease of theirs is deleted, taken by a
// stranger that does not renew it, and renewed an hour ahead and back, which is
// what a step of one's clock is to the other. Within 60 s of each exactly one serves
// each tenant again, by a Lease that is renewed; one that ends because it lost
// its Lease is started again, as a kubelet does. At rest nothing is lost, twice,
// resurrected or orphaned, and no pod ran twice.
func testLease(t *testing.T, w *faultWorld) {
	w.syncer.stop(t)
	platform := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: configv1alpha1.DefaultPlatformNamespace}}
	must(t, client.IgnoreAlreadyExists(w.superClient.Create(t.Context(), platform)))
	t.Run("one leads", func(t *testing.T) { w.tamper(t, false, leads) })
	t.Run("two share", func(t *testing.T) { w.tamper(t, true, share) })
	w.syncer.start(t)
	w.syncer.waitTenants(t, 2)
}

// tamper does what testLease says to replicas of one mode.
func (w *faultWorld) tamper(t *testing.T, shares bool, inOrder func(context.Context, []*replica, []coordinationv1.Lease) error) {
	const limit, stranger, least = time.Minute, "stranger", 300
	replicas := []*replica{w.startReplica(t, "candidate-0", shares), w.startReplica(t, "candidate-1", shares)}
	settled := func() time.Duration {
		return within(t, limit, "one for each tenant", func(ctx context.Context) error {
			revive(t, replicas)
			var leases coordinationv1.LeaseList
			if err := w.superClient.List(ctx, &leases, client.InNamespace(configv1alpha1.DefaultPlatformNamespace)); err != nil {
				return err
			}
			return inOrder(ctx, replicas, leases.Items)
		})
	}
	settled()
	var enough atomic.Bool
	j, clients := w.startWriters(t, 30, func(int) bool { return enough.Load() })
	renewed := func(by string, ahead time.Duration) func() error {
		return func() error {
			patch := fmt.Sprintf(`{"spec":{"renewTime":%q}}`, time.Now().Add(ahead).UTC().Format(metav1.RFC3339Micro))
			if by != "" {
				patch = fmt.Sprintf(`{"spec":{"holderIdentity":%q,"renewTime":%q}}`, by, time.Now().Add(ahead).UTC().Format(metav1.RFC3339Micro))
			}
			return w.superClient.Patch(t.Context(), w.heldLease(t), mergePatch(patch))
		}
	}
	for _, harm := range []struct {
		name string
		do   func() error
	}{
		{"deleted", func() error { return w.superClient.Delete(t.Context(), w.heldLease(t)) }},
		{"renewed in an hour", renewed("", time.Hour)},
		{"renewed an hour ago", renewed("", -time.Hour)},
		{"taken in an hour", renewed(stranger, time.Hour)},
		{"taken an hour ago", renewed(stranger, -time.Hour)},
		{"deleted again", func() error { return w.superClient.Delete(t.Context(), w.heldLease(t)) }},
	} {
		must(t, harm.do())
		t.Logf("%s: one serves each tenant %s later", harm.name, settled().Round(time.Millisecond))
		waitFor(t, 2*time.Second)
	}
	enough.Store(true)
	clients.Wait()
	rested := w.waitAtRest(t, w.tenants(), j, w.node)
	settled()
	t.Logf("%d writes, the two were started %d times: at rest after %s, 0 lost, 0 duplicate, 0 resurrected, 0 orphans",
		j.acknowledged(), replicas[0].starts+replicas[1].starts, rested.Round(time.Millisecond))
	if j.acknowledged() < least {
		t.Errorf("only %d writes: too few for a proof", j.acknowledged())
	}
	w.removeWritten(t)
	for _, r := range replicas {
		r.stop(t)
	}
}

// heldLease returns the first Lease that a syncer holds.
func (w *faultWorld) heldLease(t *testing.T) *coordinationv1.Lease {
	t.Helper()
	var leases coordinationv1.LeaseList
	must(t, w.superClient.List(t.Context(), &leases, client.InNamespace(configv1alpha1.DefaultPlatformNamespace)))
	for i := range leases.Items {
		if holder := leases.Items[i].Spec.HolderIdentity; holder != nil && *holder != "" {
			return &leases.Items[i]
		}
	}
	t.Fatal("nobody holds a Lease")
	return nil
}

// revive starts those again that have ended.
func revive(t *testing.T, replicas []*replica) {
	t.Helper()
	for _, r := range replicas {
		select {
		case <-r.process.Exited():
			r.start(t)
		default:
		}
	}
}

// leads reports unless exactly one of them leads, by a Lease that is renewed.
func leads(ctx context.Context, replicas []*replica, leases []coordinationv1.Lease) error {
	var leaders []string
	for _, r := range replicas {
		leading, err := r.metric(ctx, "leader_election_master_status")
		if err != nil {
			return err
		}
		if leading == 1 {
			leaders = append(leaders, r.pod)
		}
	}
	if holders, err := holders(leases); err != nil || len(leaders) != 1 || !slices.Equal(holders, leaders) {
		return errors.Join(fmt.Errorf("%v lead, and %v hold the Lease", leaders, holders), err)
	}
	return nil
}

// share reports unless both of them share two tenants, each by a Lease that is renewed.
func share(ctx context.Context, replicas []*replica, leases []coordinationv1.Lease) error {
	tenants := 0
	var pods []string
	for _, r := range replicas {
		pods = append(pods, r.pod)
		for name, want := range map[string]float64{"shard_replicas": 2, "shard_settled": 1} {
			if got, err := r.metric(ctx, "virtualcluster_syncer_"+name); err != nil || got != want {
				return errors.Join(fmt.Errorf("%s of %s is %v", name, r.pod, got), err)
			}
		}
		owned, err := r.metric(ctx, "virtualcluster_syncer_tenants_owned")
		if err != nil {
			return err
		}
		tenants += int(owned)
	}
	if holders, err := holders(leases); err != nil || tenants != 2 || !slices.Equal(holders, pods) {
		return errors.Join(fmt.Errorf("%d tenants are served, and %v hold Leases", tenants, holders), err)
	}
	return nil
}

// holders returns who holds a Lease, in order, if all of them are renewed.
func holders(leases []coordinationv1.Lease) ([]string, error) {
	var found []string
	for _, lease := range leases {
		if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
			continue
		}
		found = append(found, *lease.Spec.HolderIdentity)
		if age := time.Since(lease.Spec.RenewTime.Time); age.Abs() > 30*time.Second {
			return nil, fmt.Errorf("%s was renewed %s ago", lease.Name, age)
		}
	}
	slices.Sort(found)
	return found, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"maps"
	"strconv"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// calm is how long replicas may take to agree when nothing is lost.
const calm = 5 * time.Second

// three starts three replicas that share 300 tenants.
func three(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 1, 300)
	for range 3 {
		w.start("")
	}
	w.run(w.clock.Now().Add(calm))
	w.shares()
	return w
}

func (r *replica) has() map[string]bool { return maps.Clone(r.serving) }

func TestShareIsEven(t *testing.T) {
	for identity, share := range three(t).shares() {
		if share < 80 || share > 120 {
			t.Errorf("%s serves %d of 300", identity, share)
		}
	}
}

func TestOneReplicaServesAll(t *testing.T) {
	w := newWorld(t, 1, 10)
	r := w.start("")
	w.run(w.clock.Now().Add(calm))
	w.shares()
	if count, settled := r.Peers(); count != 1 || !settled || r.Ready(nil) != nil {
		t.Errorf("peers %d, settled %v, ready %v", count, settled, r.Ready(nil))
	}
}

// TestALostReplica: its tenants are taken over within 30 s, and no others move.
func TestALostReplica(t *testing.T) {
	w := three(t)
	lost := w.replicas[1]
	before := []map[string]bool{w.replicas[0].has(), w.replicas[2].has()}
	w.kill(lost)
	killed := w.clock.Now()
	served := func() int { return len(w.replicas[0].serving) + len(w.replicas[1].serving) }
	for served() < len(w.tenants) {
		if w.clock.Since(killed) > 30*time.Second {
			t.Fatalf("%d of %d tenants are served after 30 s", served(), len(w.tenants))
		}
		w.run(w.clock.Now().Add(100 * time.Millisecond))
	}
	t.Logf("taken over after %s", w.clock.Since(killed))
	for i, r := range w.replicas {
		for id := range before[i] {
			if !r.serving[id] {
				t.Errorf("%s moved", id)
			}
		}
	}
}

// TestAReplicaJoins: it gets tenants, and none moves between the others.
func TestAReplicaJoins(t *testing.T) {
	w := three(t)
	before := []map[string]bool{w.replicas[0].has(), w.replicas[1].has(), w.replicas[2].has()}
	joined := w.start("")
	w.run(w.clock.Now().Add(calm))
	w.shares()
	if n := len(joined.serving); n < 50 || n > 100 {
		t.Errorf("it serves %d of 300", n)
	}
	for i, r := range w.replicas[:3] {
		for id := range r.serving {
			if !before[i][id] {
				t.Errorf("%s moved between replicas that stayed", id)
			}
		}
	}
}

// TestAReplicaEndsInOrder: it gives its Lease back, and a successor gets its tenants.
func TestAReplicaEndsInOrder(t *testing.T) {
	w := three(t)
	ended := w.replicas[1]
	had := ended.has()
	ended.leave(t.Context())
	if len(ended.serving) != 0 || ended.Owns("tenant-0") {
		t.Errorf("it still serves %d", len(ended.serving))
	}
	w.kill(ended)
	w.run(w.clock.Now().Add(calm))
	w.shares()
	successor := w.start("")
	w.run(w.clock.Now().Add(calm))
	if !maps.Equal(successor.serving, had) {
		t.Errorf("the successor serves %d other tenants than the %d of the one before", len(successor.serving), len(had))
	}
}

// TestACrashedContainer takes its Lease back at once and moves nothing.
func TestACrashedContainer(t *testing.T) {
	w := three(t)
	crashed := w.replicas[1]
	w.kill(crashed)
	again := w.start(crashed.options.Identity)
	w.run(w.clock.Now().Add(calm))
	w.shares()
	if !maps.Equal(again.serving, crashed.serving) {
		t.Error("it serves other tenants than before")
	}
}

// TestAFrozenReplica: it owns nothing in the moment it wakes up, before it has
// spoken to anybody, and finds its way back.
func TestAFrozenReplica(t *testing.T) {
	w := three(t)
	frozen := w.replicas[1]
	had := frozen.has()
	frozen.frozen = true
	w.run(w.clock.Now().Add(time.Minute))
	for id := range had {
		if frozen.Owns(id) {
			t.Fatalf("it owns %s after a minute", id)
		}
	}
	frozen.frozen = false
	w.run(w.clock.Now().Add(calm))
	w.shares()
	if !maps.Equal(frozen.serving, had) {
		t.Error("it serves other tenants than before")
	}
}

// TestAnUnreachableAPIServer: the replica drops everything by itself, before
// others can take over.
func TestAnUnreachableAPIServer(t *testing.T) {
	w := three(t)
	cut := w.replicas[1]
	cut.cut = true
	since := w.clock.Now()
	for len(cut.serving) > 0 {
		w.run(w.clock.Now().Add(100 * time.Millisecond))
	}
	if took := w.clock.Since(since); took > leaseDuration*4/5 {
		t.Errorf("it dropped its tenants after %s", took)
	}
	if cut.Ready(nil) == nil {
		t.Error("it is ready")
	}
}

// TestALeaderIsWaitedFor: replicas that find an unsharded leader serve nothing
// until it is gone.
func TestALeaderIsWaitedFor(t *testing.T) {
	w := newWorld(t, 1, 10)
	leader, seconds := "old-pod", int32(15)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vc-system", Name: "syncer"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &leader, LeaseDurationSeconds: &seconds},
	}
	if err := w.store.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	r := w.start("")
	for range 10 {
		w.run(w.clock.Now().Add(3 * time.Second))
		if len(r.serving) != 0 {
			t.Fatal("it serves beside the leader")
		}
		now := metav1.NewMicroTime(w.clock.Now())
		lease.Spec.RenewTime = &now
		if err := w.store.Update(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
	}
	w.run(w.clock.Now().Add(leaseDuration + calm)) // it renews no more
	w.shares()
}

// TestMoreReplicasThanSlots: the last one waits for a Lease.
func TestMoreReplicasThanSlots(t *testing.T) {
	w := newWorld(t, 1, 10)
	for range MaxReplicas + 1 {
		w.start("")
	}
	w.run(w.clock.Now().Add(calm))
	w.shares()
	last := w.replicas[MaxReplicas]
	if last.Ready(nil) == nil {
		t.Error("it is ready without a Lease")
	}
	w.kill(w.replicas[0])
	w.run(w.clock.Now().Add(leaseDuration + calm))
	w.shares()
	if last.Ready(nil) != nil {
		t.Error("it has no Lease")
	}
}

// TestIdleReplicasOnlyRenew: each writes its Lease every two seconds, and nothing else.
func TestIdleReplicasOnlyRenew(t *testing.T) {
	w := three(t)
	version := func() (sum int) {
		var leases coordinationv1.LeaseList
		if err := w.store.List(t.Context(), &leases, client.InNamespace("vc-system")); err != nil {
			t.Fatal(err)
		}
		for _, lease := range leases.Items {
			version, err := strconv.Atoi(lease.ResourceVersion)
			if err != nil {
				t.Fatal(err)
			}
			sum += version
		}
		return sum
	}
	before := version()
	w.run(w.clock.Now().Add(100 * time.Second))
	if writes := version() - before; writes < 140 || writes > 160 {
		t.Errorf("%d writes of three replicas in 100 s", writes)
	}
}

// TestStart runs the loop itself, with the real clock.
func TestStart(t *testing.T) {
	w := newWorld(t, 1, 1)
	r := w.start("")
	r.Group.change = r.changeInBackground
	r.options.Clock = clock.RealClock{}
	changed := make(chan struct{}, 10)
	r.OnChange(func() { changed <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Start(ctx) }()
	for !r.Owns("tenant-0") {
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("it owns nothing")
		}
	}
	cancel()
	if err := <-ended; err != nil || r.Owns("tenant-0") {
		t.Errorf("ended with %v, owns %v", err, r.Owns("tenant-0"))
	}
	var lease coordinationv1.Lease
	if err := w.store.Get(t.Context(), client.ObjectKey{Namespace: "vc-system", Name: "syncer"}, &lease); err != nil || holder(&lease) != "" {
		t.Errorf("lease %+v, error %v", lease.Spec, err)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package shard

import (
	"context"
	"testing"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/multicluster-runtime/pkg/manager/coordinator/sharded"
	"sigs.k8s.io/multicluster-runtime/pkg/manager/coordinator/sharded/peers"
)

// engagements is a multicluster.Aware that remembers contexts.
type engagements chan engaged

type engaged struct {
	name string
	ctx  context.Context //nolint:containedctx // it is what the test looks at.
}

func (e engagements) Engage(ctx context.Context, name string, _ cluster.Cluster) error {
	e <- engaged{name, ctx}
	return nil
}

// TestWhyNotTheCoordinator holds the reason for this package: the library's
// coordinator starts a cluster's work under the context of whichever cluster
// gave the occasion. Here "two" had to wait for its Lease, the arrival of "one"
// is the occasion, and when "one" goes the work for "two" ends, while its Lease
// is renewed. When this fails, the library deserves another look;
// docs/designs/20261120-sharding.md has the other reasons.
func TestWhyNotTheCoordinator(t *testing.T) {
	store := newWorld(t, 1, 0).store
	looked := make(chan string, 10)
	leases := interceptor.NewClient(store, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			defer func() { looked <- key.Name }()
			return c.Get(ctx, key, object, options...)
		},
	})
	somebody, seconds, now := "somebody", int32(60), metav1.NowMicro()
	fence := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "vc-system", Name: "fence-two"},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &somebody, LeaseDurationSeconds: &seconds, RenewTime: &now},
	}
	if err := store.Create(t.Context(), fence); err != nil {
		t.Fatal(err)
	}
	registry := peers.NewLeaseRegistry(store, "vc-system", "peer", "me", 1, logr.Discard())
	coordinator := sharded.New(leases, logr.Discard(), sharded.WithShardLease("vc-system", "fence"),
		sharded.WithPeerRegistry(registry), sharded.WithLeaseTimings(time.Minute, 20*time.Second, 0))
	calls := make(engagements, 10)
	coordinator.AddRunnable(calls)

	if err := coordinator.Engage(t.Context(), "two", nil); err != nil {
		t.Fatal(err)
	}
	<-looked
	if err := store.Delete(t.Context(), fence); err != nil {
		t.Fatal(err)
	}
	one, end := context.WithCancel(t.Context())
	defer end()
	if err := coordinator.Engage(one, "one", nil); err != nil {
		t.Fatal(err)
	}
	contexts := map[string]context.Context{}
	for len(contexts) < 2 {
		select {
		case call := <-calls:
			contexts[call.name] = call.ctx
		case <-time.After(10 * time.Second):
			t.Fatalf("engaged %v only", contexts)
		}
	}
	end()
	if contexts["two"].Err() == nil {
		t.Error("the work for one cluster outlives another cluster now")
	}
}

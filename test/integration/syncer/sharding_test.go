// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/multicluster-runtime/pkg/manager/coordinator/sharded/sharder"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/leader"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/shard"
)

// takeover is how long the tenants of a lost replica may wait.
const takeover = 30 * time.Second

// TestSharding runs three syncer replicas, as they are shipped, that share six
// virtual clusters: three with a control plane, three that lead nowhere.
func TestSharding(t *testing.T) {
	e := newEnvironment(t)
	e.runFakeKubelet(t)
	must(t, e.superClient.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "vc-system"}}))
	var tenants []*tenant
	for i := range 3 {
		tenants = append(tenants, e.addTenant(t, fmt.Sprintf("real-%d", i), fmt.Sprintf("10.112.%d.0/22", 4*i)))
	}
	slots := []sharder.PeerInfo{{ID: "syncer"}, {ID: "syncer-1"}, {ID: "syncer-2"}}
	for i, slot := range slots { // so that every replica has one to serve
		e.addFakeTenant(t, fmt.Sprintf("fake-%d", i), fmt.Sprintf("10.113.%d.0/22", 4*i), slots, slot)
	}
	creations := e.countCreations(t)
	var replicas []*replica
	for i := range 3 {
		replicas = append(replicas, e.startReplica(t, fmt.Sprintf("syncer-pod-%d", i), true))
	}
	for _, tn := range tenants {
		e.waitSynced(t, tn)
		tn.waitServiceAccount(t, "default")
	}
	e.waitShared(t, replicas, 6)
	var victim *replica
	t.Run("each tenant is served by one", func(t *testing.T) {
		for _, tn := range tenants {
			must(t, tn.client.Create(t.Context(), makePod("default", "first")))
			tn.waitRunning(t, "default", "first")
		}
		victim = e.ownerOf(t, replicas, tenants[0])
	})
	t.Run("a process is killed", func(t *testing.T) { e.testKilled(t, replicas, victim, tenants) })
	t.Run("it comes back", func(t *testing.T) {
		victim.start(t)
		e.waitShared(t, replicas, 6)
		if owner := e.ownerOf(t, replicas, tenants[0]); owner != victim {
			t.Errorf("%s is served by %s, not by the replica that came back", tenants[0].vc.Name, owner.pod)
		}
		for _, tn := range tenants {
			must(t, tn.client.Create(t.Context(), makePod("default", "third")))
			tn.waitRunning(t, "default", "third")
		}
	})
	t.Run("a process is frozen", func(t *testing.T) { e.testFrozen(t, replicas, victim, tenants) })
	t.Run("a tenant ends", func(t *testing.T) { e.testEndsOnce(t, tenants[2]) })
	t.Run("the rest end in order", func(t *testing.T) {
		for _, p := range replicas[1:] {
			p.stop(t)
		}
		e.waitShared(t, replicas[:1], 5)
	})
	for object, times := range creations() {
		if times != 1 {
			t.Errorf("%s was made %d times", object, times)
		}
	}
}

// testKilled kills the process that serves the first tenant: what is created
// there at once is synced by another within 30 s, and nobody else waits.
func (e *environment) testKilled(t *testing.T, replicas []*replica, victim *replica, tenants []*tenant) {
	victim.kill(t)
	since := time.Now()
	for _, tn := range tenants {
		must(t, tn.client.Create(t.Context(), makePod("default", "second")))
		must(t, tn.client.Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "second"},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}))
	}
	tenants[0].waitRunning(t, "default", "second")
	eventually(t, "the service", func(ctx context.Context) error {
		return e.superClient.Get(ctx, tenants[0].superKey("default", "second"), &corev1.Service{})
	})
	took := time.Since(since)
	t.Logf("taken over and synced %.1f s after the kill", took.Seconds())
	if took > takeover {
		t.Errorf("took %s, more than %s", took, takeover)
	}
	for _, tn := range tenants[1:] {
		tn.waitRunning(t, "default", "second")
	}
	e.waitShared(t, slices.DeleteFunc(slices.Clone(replicas), func(p *replica) bool { return p == victim }), 6)
}

// testFrozen stops a process (SIGSTOP) for longer than its Lease lasts, while
// pods come and go that it had in its caches, and wakes it up.
func (e *environment) testFrozen(t *testing.T, replicas []*replica, victim *replica, tenants []*tenant) {
	tn := tenants[0]
	must(t, victim.process.Signal(syscall.SIGSTOP))
	must(t, tn.client.Create(t.Context(), makePod("default", "meanwhile")))
	must(t, tn.client.Delete(t.Context(), makePod("default", "first")))
	tn.waitRunning(t, "default", "meanwhile")
	eventually(t, "the end of a pod", func(ctx context.Context) error {
		return isGone(e.superClient.Get(ctx, tn.superKey("default", "first"), &corev1.Pod{}))
	})
	must(t, victim.process.Signal(syscall.SIGCONT))
	e.waitShared(t, replicas, 6)
	must(t, tn.client.Create(t.Context(), makePod("default", "afterwards")))
	tn.waitRunning(t, "default", "afterwards")
	before := e.stamped(t, tn)
	consistently(t, "nothing is written twice", 5*time.Second, func(context.Context) error {
		if after := e.stamped(t, tn); !maps.Equal(before, after) {
			return errors.New(cmp.Diff(before, after))
		}
		return nil
	})
}

// testEndsOnce deletes a virtual cluster: its owner removes everything.
func (e *environment) testEndsOnce(t *testing.T, tn *tenant) {
	must(t, e.superClient.Delete(t.Context(), tn.vc))
	eventually(t, "the end of "+tn.vc.Name, func(ctx context.Context) error {
		return isGone(e.superClient.Get(ctx, client.ObjectKeyFromObject(tn.vc), &tenancyv1alpha1.VirtualCluster{}))
	})
	var pods corev1.PodList
	must(t, e.superClient.List(t.Context(), &pods, client.MatchingLabelsSelector{Selector: identity.TenantSelector(tn.names.ID)}))
	if len(pods.Items) != 0 {
		t.Errorf("%d pods are left", len(pods.Items))
	}
}

// isGone turns the result of a Get into an error unless there was nothing.
func isGone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return errors.Join(errStill, err)
}

// addFakeTenant makes a virtual cluster whose control plane accepts connections
// and never answers. It is one that belongs to a slot.
func (e *environment) addFakeTenant(t *testing.T, name, serviceCIDR string, slots []sharder.PeerInfo, slot sharder.PeerInfo) {
	t.Helper()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	vc := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	must(t, e.superClient.Create(t.Context(), vc))
	for !(shard.Rendezvous{}).ShouldOwn(string(vc.UID), slots, slot) {
		must(t, e.superClient.Delete(t.Context(), vc))
		vc = &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		must(t, e.superClient.Create(t.Context(), vc))
	}
	kubeconfig := strings.ReplaceAll(string(e.super.Kubeconfig), e.super.Config.Host, "https://"+silent.Addr().String())
	e.publish(t, &tenant{vc: vc, names: names.Tenant{ID: string(vc.UID), Name: name}}, []byte(kubeconfig), serviceCIDR)
}

// countCreations returns how often each object that carries a stamp and is made
// for a tenant's object was made, by its kind, place and the tenant object's UID.
func (e *environment) countCreations(t *testing.T) func() map[string]int {
	t.Helper()
	var mu sync.Mutex
	made := map[string]int{}
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	for _, list := range []client.ObjectList{&corev1.PodList{}, &corev1.NamespaceList{}, &corev1.ServiceList{}} {
		watcher, err := e.superClient.Watch(ctx, list, client.MatchingLabelsSelector{Selector: identity.Selector()})
		must(t, err)
		watching.Go(func() {
			for event := range watcher.ResultChan() {
				object, ok := event.Object.(client.Object)
				if !ok || event.Type != watch.Added {
					continue
				}
				owner, _ := identity.Of(object)
				mu.Lock()
				made[fmt.Sprintf("%T %s/%s of %s", object, object.GetNamespace(), object.GetName(), owner.UID)]++
				mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { cancel(); watching.Wait() })
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return maps.Clone(made)
	}
}

// replica is a syncer that is not the only one.
type replica struct {
	*program
	pod string
}

// startReplica starts a syncer whose pod has this name. It shares the tenants
// with others, or waits until it leads.
func (e *environment) startReplica(t *testing.T, pod string, shares bool) *replica {
	t.Helper()
	elects := !shares
	p := e.newProgram(t, func(config *configv1alpha1.SyncerConfiguration) {
		config.Sharding.Enabled, config.LeaderElection.LeaderElect = shares, &elects
	})
	p.env = append(p.env, leader.EnvPodName+"="+pod)
	p.start(t)
	return &replica{program: p, pod: pod}
}

// gauge reads a metric without labels.
func (r *replica) gauge(t *testing.T, name string) int {
	t.Helper()
	value, err := r.metric(t.Context(), "virtualcluster_syncer_"+name)
	if err != nil {
		return -1 // it is starting
	}
	return int(value)
}

// waitShared waits until these replicas agree that they share the tenants, and
// serve each tenant once.
func (e *environment) waitShared(t *testing.T, replicas []*replica, tenants int) {
	t.Helper()
	eventually(t, "shared tenants", func(context.Context) error {
		var shares []int
		sum := 0
		for _, r := range replicas {
			seen, settled, owned := r.gauge(t, "shard_replicas"), r.gauge(t, "shard_settled"), r.gauge(t, "tenants_owned")
			if seen != len(replicas) || settled != 1 {
				return fmt.Errorf("%s sees %d replicas, settled %d", r.pod, seen, settled)
			}
			if owned < 1 {
				return fmt.Errorf("%s serves %d tenants", r.pod, owned)
			}
			shares, sum = append(shares, owned), sum+owned
		}
		if sum != tenants {
			return fmt.Errorf("shares %v of %d tenants", shares, tenants)
		}
		t.Logf("shares of %d tenants: %v", tenants, shares)
		return nil
	})
}

// ownerOf computes which replica serves a tenant.
func (e *environment) ownerOf(t *testing.T, replicas []*replica, tn *tenant) *replica {
	t.Helper()
	var leases coordinationv1.LeaseList
	must(t, e.superClient.List(t.Context(), &leases, client.InNamespace("vc-system")))
	holders, slots := map[string]string{}, []sharder.PeerInfo{}
	for _, lease := range leases.Items {
		if lease.Spec.HolderIdentity != nil && *lease.Spec.HolderIdentity != "" {
			holders[lease.Name] = *lease.Spec.HolderIdentity
			slots = append(slots, sharder.PeerInfo{ID: lease.Name})
		}
	}
	for _, slot := range slots {
		if !(shard.Rendezvous{}).ShouldOwn(tn.names.ID, slots, slot) {
			continue
		}
		for _, p := range replicas {
			if p.pod == holders[slot.ID] {
				return p
			}
		}
	}
	t.Fatalf("nobody owns %s: %v", tn.vc.Name, holders)
	return nil
}

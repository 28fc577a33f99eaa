// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// largePlan is the size of TestLarge.
type largePlan struct {
	tenants, objects int
	idle             time.Duration
}

// TestLarge: tenants with many objects, and a syncer as it is configured by
// default, with its election. SYNCER_TEST=full takes 10 tenants with 500
// objects each and 100 idle seconds.
func TestLarge(t *testing.T) {
	plan := largePlan{tenants: 3, objects: 150, idle: 10 * time.Second}
	if full() {
		plan = largePlan{tenants: 10, objects: 500, idle: 100 * time.Second}
	}
	e := newEnvironment(t)
	must(t, e.superClient.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: configv1alpha1.DefaultPlatformNamespace}}))
	e.runFakeKubelet(t)
	tenants := e.addTenants(t, plan.tenants)
	p := e.newProgram(t, func(config *configv1alpha1.SyncerConfiguration) { config.LeaderElection.LeaderElect = nil })
	p.env = nil // it is measured
	p.start(t)
	p.waitTenants(t, plan.tenants)
	e.fill(t, tenants, plan.objects)
	t.Run("a restart writes nothing and is soon ready", func(t *testing.T) { testLargeRestart(t, e, tenants, p) })
	t.Run("at rest nothing is written", func(t *testing.T) { testIdle(t, tenants, e, plan.idle) })
}

// fill makes so many objects in each tenant and waits until they are synced.
func (e *environment) fill(t *testing.T, tenants []*tenant, objects int) {
	t.Helper()
	const namespace = "load"
	began := time.Now()
	var clients sync.WaitGroup
	for _, tn := range tenants {
		must(t, tn.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
		tn.waitServiceAccount(t, namespace)
		clients.Go(func() {
			for i := range objects {
				if err := tn.client.Create(t.Context(), loadObject(namespace, i)); err != nil {
					t.Errorf("creating an object: %v", err)
					return
				}
			}
		})
	}
	clients.Wait()
	var defects []defect
	err := wait.PollUntilContextTimeout(t.Context(), time.Second, 10*time.Minute, true, func(ctx context.Context) (bool, error) {
		state, err := e.readWorld(ctx, tenants, nil)
		defects = check(nil, state)
		return err == nil && len(defects) == 0, err
	})
	if err != nil {
		t.Fatalf("syncing %d objects of %d tenants: %v, %v", objects, len(tenants), err, classes(defects))
	}
	e.waitCalm(t)
	e.waitCounted(t, tenants)
	for _, tn := range tenants {
		if n := len(e.stamped(t, tn)); n < objects {
			t.Errorf("%s has %d super objects, want at least %d", tn.vc.Name, n, objects)
		}
	}
	t.Logf("%d tenants with %d objects each in sync after %s", len(tenants), objects, time.Since(began).Round(time.Second))
}

// loadObject returns the i-th object: a fifth are pods, and each ConfigMap and
// Secret is used by one of them. The Services select nothing, so that the super
// cluster's own controllers, which are slow, have nothing to write for them.
func loadObject(namespace string, i int) client.Object {
	meta := metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("load-%d", i/5)}
	switch i % 5 {
	case 0:
		return &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"key": "value"}}
	case 1:
		return &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"key": []byte("value")}}
	case 2, 3:
		meta.Name = fmt.Sprintf("load-%d", i)
		return &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}}
	default:
		pod := makePod(namespace, meta.Name)
		pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}}},
		}
		return pod
	}
}

// waitCalm waits until nothing that the syncer made changes any more.
func (e *environment) waitCalm(t *testing.T) {
	t.Helper()
	within(t, 2*time.Minute, "calm", func(context.Context) error {
		first := e.stamped(t, nil)
		waitFor(t, time.Second)
		if diff := cmpVersions(first, e.stamped(t, nil)); diff != "" {
			return fmt.Errorf("something is written still:\n%s", diff)
		}
		return nil
	})
}

// waitCounted waits until every VirtualCluster says how many pods it has: a
// syncer counts every few seconds, and one that starts would write what the last
// one had not counted yet.
func (e *environment) waitCounted(t *testing.T, tenants []*tenant) {
	t.Helper()
	for _, tn := range tenants {
		within(t, settle, "the pods of "+tn.vc.Name+" counted", func(ctx context.Context) error {
			var pods corev1.PodList
			if err := tn.client.List(ctx, &pods); err != nil {
				return err
			}
			var vc tenancyv1alpha1.VirtualCluster
			if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(tn.vc), &vc); err != nil {
				return err
			}
			if vc.Status.Pods == nil || int(*vc.Status.Pods) != len(pods.Items) {
				return fmt.Errorf("status.pods %v of %d", vc.Status.Pods, len(pods.Items))
			}
			return nil
		})
	}
}

// testLargeRestart: the first pass after a restart writes nothing, neither in
// the super cluster nor in a tenant, and ends within 10 s of the process's
// start; a new object of each tenant is served then. What the process does for
// itself is counted apart: its Lease, and the event that it leads.
func testLargeRestart(t *testing.T, e *environment, tenants []*tenant, p *program) {
	const limit = 10 * time.Second
	versionsBefore := e.stamped(t, nil)
	p.stop(t)
	superBefore, tenantsBefore := e.superGate.writes(), tenantWrites(tenants)
	started := time.Now()
	p.start(t)
	p.waitTenants(t, len(tenants))
	ready := p.waitPass(t, 2*time.Minute).Sub(started)
	own, foreign := splitOwn(growth(superBefore, e.superGate.writes()))
	written := growth(tenantsBefore, tenantWrites(tenants))
	reconciles, err := p.metric(t.Context(), "virtualcluster_syncer_reconciles_total")
	must(t, err)
	t.Logf("restart with %d tenants and %d super objects: first pass of %v reconciles ended %s after the start; writes: %d in the super cluster, %d in tenants (and %d for its own Lease)",
		len(tenants), len(versionsBefore), reconciles, ready.Round(10*time.Millisecond), sum(foreign), sum(written), sum(own))
	if len(foreign) > 0 || len(written) > 0 {
		t.Errorf("the first pass wrote %v in the super cluster and %v in tenants", foreign, written)
	}
	if diff := cmpVersions(versionsBefore, e.stamped(t, nil)); diff != "" {
		t.Errorf("super objects changed:\n%s", diff)
	}
	state, err := e.readWorld(t.Context(), tenants, nil)
	must(t, err)
	objects := len(slices.DeleteFunc(state.super, func(s superImage) bool { return s.attached }))
	if int(reconciles) < objects {
		t.Errorf("%v reconciles looked at %d objects", reconciles, objects)
	}
	if ready > limit {
		t.Errorf("ready after %s, want at most %s", ready, limit)
	}
	asked := time.Now()
	for _, tn := range tenants {
		must(t, tn.client.Create(t.Context(), &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "load", Name: "probe"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		}))
	}
	for _, tn := range tenants {
		eventually(t, "a new object of "+tn.vc.Name, func(ctx context.Context) error {
			return e.superClient.Get(ctx, tn.superKey("load", "probe"), &corev1.Service{})
		})
	}
	t.Logf("a new object of each tenant was served within %s", time.Since(asked).Round(time.Millisecond))
	e.waitCalm(t)
}

// testIdle: while nobody does anything the syncer writes nothing in the super
// cluster and nothing in tenants. The renewals of its own Lease, which elects
// it, are counted apart.
func testIdle(t *testing.T, tenants []*tenant, e *environment, period time.Duration) {
	superBefore, tenantsBefore, versionsBefore := e.superGate.writes(), tenantWrites(tenants), e.stamped(t, nil)
	waitFor(t, period)
	own, foreign := splitOwn(growth(superBefore, e.superGate.writes()))
	written := growth(tenantsBefore, tenantWrites(tenants))
	t.Logf("%s idle with %d tenants: %d writes in the super cluster, %d in tenants (and %d renewals of its own Lease)",
		period, len(tenants), sum(foreign), sum(written), sum(own))
	if len(foreign) > 0 || len(written) > 0 {
		t.Errorf("it wrote %v in the super cluster and %v in tenants", foreign, written)
	}
	if diff := cmp.Diff(versionsBefore, e.stamped(t, nil)); diff != "" {
		t.Errorf("super objects changed:\n%s", diff)
	}
	if sum(own) == 0 {
		t.Error("it did not even renew its Lease: does the gate count?")
	}
}

// tenantWrites adds up the writes that went to tenants.
func tenantWrites(tenants []*tenant) map[call]int {
	total := map[call]int{}
	for _, tn := range tenants {
		for c, n := range tn.gate.writes() {
			total[c] += n
		}
	}
	return total
}

// splitOwn separates what a syncer writes to be elected from all else.
func splitOwn(writes map[call]int) (own, foreign map[call]int) {
	own, foreign = map[call]int{}, map[call]int{}
	for c, n := range writes {
		if c.resource == "leases" || c == (call{http.MethodPost, "events", ""}) {
			own[c] = n
		} else {
			foreign[c] = n
		}
	}
	return own, foreign
}

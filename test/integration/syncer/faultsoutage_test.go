// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
)

// testOrphans (F18): what a tenant deletes while no syncer runs is gone from
// the super cluster within 60 s of its start, and nothing else is.
func testOrphans(t *testing.T, w *faultWorld) {
	const limit = time.Minute
	n := 150
	if full() {
		n = 1000
	}
	w.blue.namespace(t, "orphans")
	service := func(i int) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "orphans", Name: fmt.Sprintf("orphan-%d", i)},
			Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone},
		}
	}
	for i := range n {
		must(t, w.blue.client.Create(t.Context(), service(i)))
	}
	w.inOrderWithin(t, 2*time.Minute)
	before := w.stamped(t, nil)
	w.syncer.kill(t)
	for i := range n {
		must(t, w.blue.client.Delete(t.Context(), service(i)))
	}
	w.syncer.start(t)
	took := w.inOrderWithin(t, limit)
	after := w.stamped(t, nil)
	t.Logf("%d deleted while the syncer was down: gone %s after its start, %d others left", n, took.Round(time.Millisecond), len(after))
	if len(before)-len(after) != n {
		t.Errorf("%d super objects are gone, want %d", len(before)-len(after), n)
	}
}

// testTwoSyncers (F02, F04): a second syncer works beside the first, as one
// does that has lost its Lease and does not know it yet; both are frozen
// (SIGSTOP) and let go in turn while clients write. At rest nothing is lost,
// twice, resurrected or orphaned, no pod ran twice, and neither takes back what
// the other writes.
func testTwoSyncers(t *testing.T, w *faultWorld) {
	const writes, rate, freezes = 400, 60, 6
	second := w.newProgram(t, nil)
	second.start(t)
	second.waitTenants(t, 2)
	j, clients := w.startWriters(t, rate, func(acknowledged int) bool { return acknowledged >= writes })
	for i := range freezes {
		frozen := []*program{w.syncer, second}[i%2]
		must(t, frozen.process.Signal(syscall.SIGSTOP))
		waitFor(t, time.Second)
		must(t, frozen.process.Signal(syscall.SIGCONT))
	}
	clients.Wait()
	rested := w.waitAtRest(t, w.tenants(), j, w.node)
	t.Logf("two syncers, %d freezes, %d writes: at rest after %s, 0 lost, 0 duplicate, 0 resurrected, 0 orphans", freezes, j.acknowledged(), rested.Round(time.Millisecond))
	second.stop(t)
	w.removeWritten(t)
}

// startWriters has two clients of each tenant write, so many times a second in
// all, until it is enough. The journal has what they did when they have ended.
func (w *faultWorld) startWriters(t *testing.T, rate float32, enough func(acknowledged int) bool) (*journal, *sync.WaitGroup) {
	t.Helper()
	j, seed := &journal{}, rand.Uint64() //nolint:gosec // for the choice of writes.
	pace := flowcontrol.NewTokenBucketRateLimiter(rate, 10)
	clients := &sync.WaitGroup{}
	for i, tn := range append(w.tenants(), w.tenants()...) {
		writer := newWriter(tn, j, pace, seed, 100+i)
		clients.Go(func() {
			if err := writer.writeUntil(t.Context(), enough); err != nil {
				t.Error(err)
			}
		})
	}
	return j, clients
}

// removeWritten removes what the clients of startWriters left.
func (w *faultWorld) removeWritten(t *testing.T) {
	t.Helper()
	step := func(do func(context.Context, client.Client, *corev1.Namespace) error) {
		for i, tn := range append(w.tenants(), w.tenants()...) {
			for _, name := range []string{fmt.Sprintf("home-%d", 100+i), fmt.Sprintf("churn-%d", 100+i)} {
				within(t, 2*time.Minute, name+" gone", func(ctx context.Context) error {
					return do(ctx, tn.client, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
				})
			}
		}
	}
	step(func(ctx context.Context, c client.Client, namespace *corev1.Namespace) error {
		return client.IgnoreNotFound(c.Delete(ctx, namespace))
	})
	step(func(ctx context.Context, c client.Client, namespace *corev1.Namespace) error {
		return gone(ctx, c, namespace)
	})
	w.inOrderWithin(t, 2*time.Minute)
}

// testSuperDown (F05; 60 s instead of 10 min, 8 s by default): the super
// cluster crashes while tenants go on writing. At first nobody answers; then
// what stands before it says 502 Bad Gateway, and is asked at most twice a
// second for each tenant. No write of a tenant fails; the syncer lives; once the
// super cluster is back each tenant's next object is there within 15 s, and the
// whole backlog within 60 s.
func testSuperDown(t *testing.T, w *faultWorld) {
	const nextWithin, allWithin, most = 15 * time.Second, time.Minute, 2.0
	outage, backlog := 8*time.Second, 60
	if full() {
		outage, backlog = time.Minute, 600
	}
	for _, tn := range w.tenants() {
		tn.namespace(t, "outage")
	}
	w.inOrder(t)
	w.superLine.cut()
	w.super.Kill(t)
	began := time.Now()
	for i := range backlog {
		for _, tn := range w.tenants() {
			must(t, tn.client.Create(t.Context(), headless("outage", fmt.Sprintf("meanwhile-%d", i))))
		}
	}
	waitFor(t, outage/2-time.Since(began))
	w.superLine.mend()
	before, mended := w.superGate.writes(), time.Now()
	waitFor(t, outage-time.Since(began))
	tried := sum(growth(before, w.superGate.writes()))
	perSecond := float64(tried) / time.Since(mended).Seconds() / 2
	w.super.Restart(t)
	down, back := time.Since(began), time.Now()
	for i, tn := range w.tenants() {
		w.serves(t, nextWithin, tn, fmt.Sprintf("after-the-outage-%d", i))
	}
	next := time.Since(back)
	w.inOrderWithin(t, allWithin-next)
	t.Logf("super cluster down for %s: %.1f requests a second for each tenant; after it was back new objects were served within %s, the backlog of %d within %s",
		down.Round(time.Second), perSecond, next.Round(time.Millisecond), 2*backlog, time.Since(back).Round(time.Millisecond))
	if perSecond > most {
		t.Errorf("%.1f requests a second for each tenant to a super cluster that is down, want at most %.0f", perSecond, most)
	}
}

// testCompaction (F12): both sides compact their databases and crash while the
// syncer is down, and objects come, change and go meanwhile on both. 30 s after
// its start everything is in order.
func testCompaction(t *testing.T, w *faultWorld) {
	w.green.namespace(t, "compacted")
	for _, name := range []string{"stays", "goes", "changes", "vanishes"} {
		w.green.makeWorkload(t, "compacted", name)
		w.green.waitRunning(t, "compacted", name)
	}
	w.inOrder(t)
	w.syncer.kill(t)
	key := metav1.ObjectMeta{Namespace: "compacted", Name: "goes"}
	must(t, w.green.client.Delete(t.Context(), &corev1.Pod{ObjectMeta: key}))
	must(t, w.green.client.Delete(t.Context(), &corev1.Service{ObjectMeta: key}))
	must(t, w.green.client.Delete(t.Context(), &corev1.Secret{ObjectMeta: key}))
	must(t, w.green.client.Patch(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "compacted", Name: "changes"}}, mergePatch(`{"data":{"key":"other"}}`)))
	w.green.makeWorkload(t, "compacted", "comes")
	super := w.green.superKey("compacted", "vanishes")
	must(t, w.superClient.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: names.ConfigMap("vanishes")}}))
	must(t, w.superClient.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: super.Name}}))
	for _, side := range []*tenant{w.green, {Instance: w.super}} {
		side.Compact(t)
		side.Kill(t)
		side.Restart(t)
	}
	w.syncer.start(t)
	took := w.inOrderWithin(t, settle)
	var copied corev1.ConfigMap
	must(t, w.superClient.Get(t.Context(), superConfigMap(w.green, "compacted", "changes"), &copied))
	if copied.Data["key"] != "other" {
		t.Errorf("the copy has %v", copied.Data)
	}
	w.green.waitRunning(t, "compacted", "comes")
	t.Logf("in order %s after the syncer's start", took.Round(time.Millisecond))
}

// testTooManyRequests (F07): the super cluster answers every write with 429 and
// Retry-After: 8, which is longer than what the syncer would wait by itself. It
// keeps to that: for each tenant with a backlog it asks at most twice a second
// on average, what was under way when the refusals began ends within 2 s, and
// for the rest of the 8 s it writes no object of a tenant. Within 30 s of the end
// everything is in order.
func testTooManyRequests(t *testing.T, w *faultWorld) {
	const period, underWay, retryAfter, backlog, most = 15 * time.Second, 2 * time.Second, 8 * time.Second, 100, 2.0
	for _, tn := range w.tenants() {
		tn.namespace(t, "busy")
	}
	w.inOrder(t)
	var refused times
	w.superGate.set(0, func(rw http.ResponseWriter, r *http.Request) bool {
		c := callOf(r)
		if !c.isWrite() {
			return false
		}
		if c.resource == "services" {
			refused.add(time.Now())
		}
		rw.Header().Set("Retry-After", strconv.Itoa(int(retryAfter.Seconds())))
		rw.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	before := w.superGate.writes()
	for _, tn := range w.tenants() { // both learn of it at once
		must(t, tn.client.Create(t.Context(), headless("busy", "waits")))
	}
	for i := range backlog {
		for _, tn := range w.tenants() {
			must(t, tn.client.Create(t.Context(), headless("busy", fmt.Sprintf("waits-%d", i))))
		}
	}
	waitFor(t, period)
	tried := sum(growth(before, w.superGate.writes()))
	perSecond := float64(tried) / period.Seconds() / 2
	w.superGate.set(0, nil)
	early := refused.between(underWay, retryAfter)
	took := w.inOrderWithin(t, settle)
	t.Logf("429 for %s with %d objects waiting: %.1f requests a second for each tenant; in order %s after it", period, 2*backlog, perSecond, took.Round(time.Millisecond))
	if perSecond > most {
		t.Errorf("%.1f requests a second for each tenant, want at most %.0f", perSecond, most)
	}
	if len(early) > 0 {
		t.Errorf("told to come back after %s, it came %s after the first refusal", retryAfter, early)
	}
}

// headless returns a Service that needs nothing but itself.
func headless(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone},
	}
}

// times are when something happened. It is safe for concurrent use.
type times struct {
	mu  sync.Mutex
	all []time.Time
}

func (s *times) add(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, now)
}

// between returns how long after the first it happened again, where that is
// between two limits.
func (s *times) between(from, to time.Duration) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []time.Duration
	for _, one := range s.all {
		if after := one.Sub(s.all[0]); after > from && after < to {
			found = append(found, after.Round(time.Millisecond))
		}
	}
	return found
}

// testSlowSuper (F06): every request to the super cluster takes 2 s. The workers
// go on side by side: 80 objects, which take 160 s one by one, are synced in
// 30 s. They stay as many as they are: of each tenant a quarter of the 32. No
// time-out follows: nothing is asked for twice.
func testSlowSuper(t *testing.T, w *faultWorld) {
	const delay, backlog, workers = 2 * time.Second, 40, 2 * 32 / 4
	create := call{verb: http.MethodPost, resource: "services"}
	for _, tn := range w.tenants() {
		tn.namespace(t, "slow")
	}
	w.inOrder(t)
	before := w.superGate.writes()
	w.superGate.set(delay, nil)
	for i := range backlog {
		for _, tn := range w.tenants() {
			must(t, tn.client.Create(t.Context(), headless("slow", fmt.Sprintf("slow-%d", i))))
		}
	}
	took := w.inOrderWithin(t, settle)
	atOnce, asked := w.superGate.mostAtOnce(create), growth(before, w.superGate.writes())[create]
	w.superGate.set(0, nil)
	t.Logf("2 s for each request: %d objects synced in %s by %d requests, %d at once", 2*backlog, took.Round(time.Millisecond), asked, atOnce)
	if atOnce > workers {
		t.Errorf("%d at once, want at most %d", atOnce, workers)
	}
	if asked != 2*backlog {
		t.Errorf("%d requests to create %d objects", asked, 2*backlog)
	}
}

// testTenantDown (F09; 40 s instead of 10 min): one tenant's control plane
// crashes. Its VirtualCluster says TenantUnreachable within 30 s, nothing of it
// is deleted or changed, the other tenant is served all the while, and 30 s
// after it is back everything is in order.
func testTenantDown(t *testing.T, w *faultWorld) {
	const told, outage = 30 * time.Second, 40 * time.Second
	w.inOrder(t)
	before := w.stamped(t, w.blue)
	w.blue.Kill(t)
	began := time.Now()
	var slowest time.Duration
	for i := 0; time.Since(began) < 10*time.Second; i++ {
		slowest = max(slowest, w.serves(t, settle, w.green, fmt.Sprintf("neighbour-down-%d", i)))
	}
	w.hasReason(t, told-time.Since(began), w.blue, tenancyv1alpha1.ConditionSyncerReady, tenancyv1alpha1.ReasonTenantUnreachable)
	toldAfter := time.Since(began)
	waitFor(t, outage-time.Since(began))
	if diff := cmpVersions(before, w.stamped(t, w.blue)); diff != "" {
		t.Errorf("super objects of the tenant that is down were written:\n%s", diff)
	}
	w.blue.Restart(t)
	w.blue.makeWorkload(t, "default", "after-the-crash")
	took := within(t, settle, "the tenant is served", func(ctx context.Context) error {
		return w.superClient.Get(ctx, w.blue.superKey("default", "after-the-crash"), &corev1.Pod{})
	})
	t.Logf("told after %s; %d super objects looked at; the neighbour's slowest object took %s; served again %s after the tenant was back",
		toldAfter.Round(time.Millisecond), len(before), slowest.Round(time.Millisecond), took.Round(time.Millisecond))
}

// testFlapping (F10; 20 times instead of 10 min): a tenant comes and goes every
// 3 s, which is too short to be told; then it is lost for long enough twice: it
// refuses, and it says nothing. Afterwards the syncer has as many goroutines as
// before, within 5 %, and as many connections to the tenant.
func testFlapping(t *testing.T, w *faultWorld) {
	const flaps, tolerance = 20, 0.05
	w.inOrder(t)
	before, err := w.syncer.metric(t.Context(), "go_goroutines")
	must(t, err)
	connections := w.blue.line.open()
	for range flaps {
		w.blue.line.cut()
		waitFor(t, 1500*time.Millisecond)
		w.blue.line.mend()
		waitFor(t, 1500*time.Millisecond)
	}
	for _, lost := range []struct{ begin, end func() }{
		{w.blue.line.cut, w.blue.line.mend},
		{w.blue.line.freeze, w.blue.line.thaw},
	} {
		lost.begin()
		w.hasReason(t, time.Minute, w.blue, tenancyv1alpha1.ConditionSyncerReady, tenancyv1alpha1.ReasonTenantUnreachable)
		lost.end()
		w.hasReason(t, time.Minute, w.blue, tenancyv1alpha1.ConditionSyncerReady, tenancyv1alpha1.ReasonReady)
	}
	w.serves(t, settle, w.blue, "after-the-flapping")
	var after float64
	within(t, settle, "the goroutines and connections of before", func(ctx context.Context) error {
		var err error
		if after, err = w.syncer.metric(ctx, "go_goroutines"); err != nil {
			return err
		}
		if after > before*(1+tolerance) {
			return fmt.Errorf("%v goroutines, before %v", after, before)
		}
		if open := w.blue.line.open(); open > connections {
			return fmt.Errorf("%d connections, before %d", open, connections)
		}
		return nil
	})
	t.Logf("%d flaps and 2 losses: %v goroutines, before %v; %d connections, before %d", flaps, after, before, w.blue.line.open(), connections)
}

// testHanging (F11): a tenant accepts connections and never answers, and then
// answers with nonsense. Either is told within 60 s, the other tenant is served
// meanwhile, nothing is deleted, and 30 s later everything is in order.
func testHanging(t *testing.T, w *faultWorld) {
	const told = time.Minute
	for _, trouble := range []struct {
		name string
		set  func()
	}{
		{"silence", w.blue.line.freeze},
		{"nonsense", func() {
			w.blue.gate.set(0, func(rw http.ResponseWriter, _ *http.Request) bool {
				rw.Header().Set("Content-Type", "application/json")
				_, _ = rw.Write([]byte(`{"kind":"Pod`))
				return true
			})
			w.blue.gate.server.CloseClientConnections()
		}},
	} {
		w.inOrder(t)
		before := w.stamped(t, w.blue)
		began := time.Now()
		trouble.set()
		slowest := w.serves(t, settle, w.green, "neighbour-"+trouble.name)
		w.hasReason(t, told-time.Since(began), w.blue, tenancyv1alpha1.ConditionSyncerReady, tenancyv1alpha1.ReasonTenantUnreachable)
		toldAfter := time.Since(began)
		if diff := cmpVersions(before, w.stamped(t, w.blue)); diff != "" {
			t.Errorf("%s: super objects were written:\n%s", trouble.name, diff)
		}
		w.blue.line.thaw()
		w.blue.gate.set(0, nil)
		must(t, w.blue.client.Create(t.Context(), makePod("default", "after-"+trouble.name)))
		began = time.Now()
		w.blue.waitRunning(t, "default", "after-"+trouble.name)
		t.Logf("%s for %s: the neighbour's object took %s; served again after %s",
			trouble.name, toldAfter.Round(time.Millisecond), slowest.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	}
}

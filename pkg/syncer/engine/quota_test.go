// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

func list(cpu, pods string) corev1.ResourceList {
	return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourcePods: resource.MustParse(pods)}
}

// metered is a kind whose objects ask for the cpu of their one container.
func metered() kind.Downward[*corev1.Pod] {
	k := process()
	k.Attach = nil
	k.Down = func(_ context.Context, _ kind.Env, tenant, super *corev1.Pod) error {
		super.Spec.Containers, super.Spec.Hostname = tenant.Spec.Containers, tenant.Spec.Hostname
		return nil
	}
	k.Demand = func(_ context.Context, _ client.Reader, super *corev1.Pod) (corev1.ResourceList, error) {
		if super.Status.Phase == corev1.PodSucceeded {
			return nil, nil
		}
		return list(super.Spec.Containers[0].Resources.Requests.Cpu().String(), "1"), nil
	}
	k.Hold = func(tenant *corev1.Pod, err error) { tenant.Status.Message = err.Error() }
	k.Subresources = []kind.Subresource[*corev1.Pod]{{Name: "resize", Copy: func(from, to *corev1.Pod) {
		to.Spec.Containers = from.DeepCopy().Spec.Containers
	}}}
	return k
}

func container(cpu string) []corev1.Container {
	return []corev1.Container{{Name: "a", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)},
	}}}
}

// quotaTest is an engine of one tenant with pods in the namespace shop.
type quotaTest struct {
	*testing.T
	engine        *Engine
	controller    *controller
	tenant        *tenant
	inTenant      *side
	inSuper       *side
	tenantConnect func(quota corev1.ResourceList)
}

func newQuotaTest(t *testing.T, quota corev1.ResourceList, inSuper *side) *quotaTest {
	t.Helper()
	inSuper.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		o.SetUID(types.UID("s-" + o.GetName())) // as an API server does
		return c.Create(ctx, o, opts...)
	}})
	q := &quotaTest{T: t, inSuper: inSuper, inTenant: newSide(tenantObjects("unused")[0])}
	e, err := New(Options{Super: inSuper, Kinds: []*kind.Translator{metered().Translator()}})
	if err != nil {
		t.Fatal(err)
	}
	q.engine, q.controller = e, e.controllers[0]
	q.tenantConnect = func(quota corev1.ResourceList) {
		q.tenant = newTenant(t.Context(), fleet.NewTenant(q.inTenant, "tenant-1", virtualCluster, fleet.Facts{Quota: quota}))
	}
	q.tenantConnect(quota)
	if err := e.meter(q.tenant); err != nil {
		t.Fatal(err)
	}
	return q
}

// pod makes a pod in the tenant.
func (q *quotaTest) pod(name, cpu string) *corev1.Pod {
	q.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("t-" + name)}, Spec: corev1.PodSpec{Containers: container(cpu)}}
	if err := q.inTenant.live.Create(q.Context(), pod); err != nil {
		q.Fatal(err)
	}
	return pod
}

// run makes one pass over a pod, with what follows from its outcome.
func (q *quotaTest) run(name string) error {
	r := request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: name}}
	q.controller.queue.Add(r, begin)
	taken, _, _ := q.controller.queue.Get()
	defer q.controller.queue.Done(taken)
	p := &pass{controller: q.controller, tenantCluster: q.tenant, request: taken}
	again, err := p.reconcile(q.Context())
	q.controller.settle(q.Context(), p, again, err)
	return err
}

func (q *quotaTest) superPods() []corev1.Pod {
	q.Helper()
	var pods corev1.PodList
	if err := q.inSuper.live.List(q.Context(), &pods); err != nil {
		q.Fatal(err)
	}
	return pods.Items
}

// saw tells the engine what the super cluster's watch shows of a pod.
func (q *quotaTest) saw(pod *corev1.Pod, deleted bool) {
	q.controller.count(q.Context())(pod, deleted)
}

func (q *quotaTest) wantUsed(cpu string) {
	q.Helper()
	used, _ := q.controller.ledger.Used("tenant-1")
	if used.Cpu().Cmp(resource.MustParse(cpu)) != 0 {
		q.Errorf("cpu %s is used, want %s", used.Cpu(), cpu)
	}
}

// events returns the tenant's events of a reason.
func (q *quotaTest) events(reason string) (messages []string) {
	q.Helper()
	var all corev1.EventList
	if err := q.inTenant.live.List(q.Context(), &all); err != nil {
		q.Fatal(err)
	}
	for _, event := range all.Items {
		if event.Reason == reason {
			messages = append(messages, event.Message)
		}
	}
	return messages
}

// TestPodsThatHaveNoRoomWait: they are told once, not tried again by the clock,
// and called when there is room.
func TestPodsThatHaveNoRoomWait(t *testing.T) {
	q := newQuotaTest(t, list("2", "10"), newSide(superObjects("unused")[0]))
	q.pod("first", "2")
	waiting := q.pod("second", "1")
	if err := q.run("first"); err != nil {
		t.Fatal(err)
	}
	const want = "0/1 nodes are available: 1 Insufficient cpu. Quota of the virtual cluster: cpu: 2 of 2 used, 1 more asked for. " +
		"It is tried again when pods end or the quota is raised."
	for range 3 {
		if err := q.run("second"); !kind.IsUnplaced(err) {
			t.Fatalf("error %v", err)
		}
	}
	if told := q.events(ReasonUnplaced); len(told) != 1 || told[0] != want {
		t.Errorf("events %q, want %q once", told, want)
	}
	if exists(t, q.inTenant.live, client.ObjectKeyFromObject(waiting), waiting); waiting.Status.Message != want {
		t.Errorf("the pod says %q", waiting.Status.Message)
	}
	if len(q.superPods()) != 1 || q.controller.queue.Len() != 0 || len(q.controller.queue.items) != 0 {
		t.Errorf("%d super pods, %d items in the queue", len(q.superPods()), len(q.controller.queue.items))
	}
	ended := q.superPods()[0]
	ended.Status.Phase = corev1.PodSucceeded
	q.saw(&ended, false)
	if q.controller.queue.Len() != 1 {
		t.Fatal("nobody is called")
	}
	if err := q.run("second"); err != nil || len(q.superPods()) != 2 {
		t.Errorf("error %v, %d super pods", err, len(q.superPods()))
	}
	q.wantUsed("1")
}

// TestWithoutAQuota: nothing is counted.
func TestWithoutAQuota(t *testing.T) {
	q := newQuotaTest(t, nil, newSide(superObjects("unused")[0]))
	q.pod("first", "1000")
	if err := q.run("first"); err != nil || q.controller.ledger.Metered("tenant-1") {
		t.Errorf("error %v, metered %v", err, q.controller.ledger.Metered("tenant-1"))
	}
}

// TestQuotaOfWhatIsThereAlready: what the cache does not show yet counts, and so
// does a quota that is given later, or changed.
func TestQuotaOfWhatIsThereAlready(t *testing.T) {
	objects := superObjects("old")
	objects[1].(*corev1.Pod).Spec.Containers = container("2")
	inSuper := newSide(objects...)
	inSuper.cached = newFake(objects[0])
	q := newQuotaTest(t, nil, inSuper)
	q.tenantConnect(list("2", "10"))
	if err := q.engine.meter(q.tenant); err != nil {
		t.Fatal(err)
	}
	q.wantUsed("2")
	q.pod("new", "1")
	if err := q.run("new"); !kind.IsUnplaced(err) {
		t.Fatalf("error %v", err)
	}
	q.tenantConnect(list("3", "10"))
	if err := q.engine.meter(q.tenant); err != nil {
		t.Fatal(err)
	}
	if q.controller.queue.Len() != 1 {
		t.Error("nobody is called when the quota is raised")
	}
	if err := q.run("new"); err != nil {
		t.Error(err)
	}
}

// TestNothingIsMadeBeforeItIsCounted: an API server that does not say what there
// is keeps pods waiting.
func TestNothingIsMadeBeforeItIsCounted(t *testing.T) {
	q := newQuotaTest(t, nil, newSide(superObjects("unused")[0]))
	q.tenantConnect(list("2", "10"))
	live, broken := q.inSuper.live, errors.New("broken")
	q.inSuper.live = interceptor.NewClient(live, interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return broken
	}})
	if err := q.engine.meter(q.tenant); !errors.Is(err, broken) {
		t.Fatalf("counting: %v", err)
	}
	q.pod("new", "1")
	if err := q.run("new"); !kind.IsWait(err) || kind.IsUnplaced(err) {
		t.Errorf("error %v", err)
	}
	q.inSuper.live = live
	if err := errors.Join(q.engine.meter(q.tenant), q.run("new")); err != nil {
		t.Error(err)
	}
}

// TestRoomOfAFailedCreation: it is given back when it is certain that nothing was
// made, and kept while it is not.
func TestRoomOfAFailedCreation(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	cases := map[string]struct {
		err  error
		made bool
		used string
	}{
		"made":              {nil, true, "1"},
		"refused":           {apierrors.NewForbidden(pods, "web", nil), false, "0"},
		"invalid":           {apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "web", nil), false, "0"},
		"too many requests": {apierrors.NewTooManyRequests("", 1), false, "0"},
		"no answer":         {errors.New("connection reset by peer"), true, "1"},
		"no answer in time": {apierrors.NewTimeoutError("", 1), true, "1"},
		"nothing, in time":  {apierrors.NewTimeoutError("", 1), false, "1"},
		"broken":            {apierrors.NewInternalError(errors.New("x")), false, "1"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := newQuotaTest(t, list("1", "1"), newSide(superObjects("unused")[0]))
			works := q.inSuper.cached
			q.inSuper.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if tc.made {
					if err := c.Create(ctx, o, opts...); err != nil {
						return err
					}
				}
				return tc.err
			}})
			q.pod("web", "1")
			if err := q.run("web"); (err != nil) != (tc.err != nil) {
				t.Fatalf("error %v", err)
			}
			q.wantUsed(tc.used)
			q.inSuper.cached = works
			if err := q.run("web"); err != nil {
				t.Errorf("again: %v", err)
			}
			q.wantUsed("1")
		})
	}
}

// TestResizeWithinTheQuota: a pod that is to grow beyond it goes on as it is, and
// what else is asked of it is done.
func TestResizeWithinTheQuota(t *testing.T) {
	cases := map[string]struct {
		to, used string
		told     bool
	}{
		"within":  {"3", "4", false},
		"beyond":  {"3500m", "2", true},
		"smaller": {"500m", "1500m", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			q := newQuotaTest(t, list("4", "10"), newSide(superObjects("unused")[0]))
			q.inSuper.intercept(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, _ string, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
				return c.Patch(ctx, o, p)
			}})
			other, pod := q.pod("other", "1"), q.pod("web", "1")
			if err := errors.Join(q.run("other"), q.run("web")); err != nil {
				t.Fatal(err)
			}
			pod.Spec.Containers, pod.Spec.Hostname = container(tc.to), "h"
			if err := q.inTenant.live.Update(t.Context(), pod); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := q.run("web"); err != nil {
					t.Fatal(err)
				}
			}
			super := &corev1.Pod{}
			exists(t, q.inSuper.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, super)
			q.saw(super, false)
			q.wantUsed(tc.used)
			told := q.events(ReasonWaiting)
			if super.Spec.Hostname != "h" || (len(told) == 1) != tc.told || len(told) > 1 {
				t.Errorf("host name %q, told %q", super.Spec.Hostname, told)
			}
			if !tc.told {
				return
			}
			if !strings.Contains(told[0], "resize: ") || !strings.Contains(told[0], "cpu: 2 of 4 used, 2500m more asked for") {
				t.Errorf("told %q", told)
			}
			gone := &corev1.Pod{}
			exists(t, q.inSuper.live, types.NamespacedName{Namespace: superNamespaceName(), Name: other.Name}, gone)
			q.saw(gone, true)
			if q.controller.queue.Len() != 1 {
				t.Error("nobody is called")
			}
		})
	}
}

// TestResizeWithoutAnAnswer: what was set aside for it ends when the pod is seen as
// it was asked for.
func TestResizeWithoutAnAnswer(t *testing.T) {
	q := newQuotaTest(t, list("4", "10"), newSide(superObjects("unused")[0]))
	q.inSuper.intercept(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, _ string, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
		return errors.Join(c.Patch(ctx, o, p), errors.New("connection reset by peer"))
	}})
	pod := q.pod("web", "1")
	if err := q.run("web"); err != nil {
		t.Fatal(err)
	}
	pod.Spec.Containers = container("3")
	if err := q.inTenant.live.Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	if err := q.run("web"); err == nil {
		t.Fatal("no error")
	}
	q.wantUsed("3")
	q.controller.superWrites.dropTenant("tenant-1") // the cache has caught up
	if err := q.run("web"); err != nil {
		t.Fatal(err)
	}
	super := &corev1.Pod{}
	exists(t, q.inSuper.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, super)
	super.Spec.Containers = container("2")
	q.saw(super, false)
	q.wantUsed("2")
}

// TestCalledInVain: the room of a pod that was called and does not come for it is
// for the next.
func TestCalledInVain(t *testing.T) {
	for name, change := range map[string]func(*quotaTest, *corev1.Pod) error{
		"it is gone": func(q *quotaTest, pod *corev1.Pod) error { return q.inTenant.live.Delete(q.Context(), pod) },
		"something else holds it up": func(q *quotaTest, _ *corev1.Pod) error {
			q.controller.kind.Down = func(context.Context, kind.Env, client.Object, client.Object) error { return kind.Wait("x") }
			return nil
		},
		"its name is taken": func(q *quotaTest, pod *corev1.Pod) error {
			return q.inSuper.live.Create(q.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: superNamespaceName(), Name: pod.Name}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newQuotaTest(t, list("2", "10"), newSide(superObjects("unused")[0]))
			q.pod("first", "2")
			large := q.pod("large", "2")
			q.pod("small", "1")
			if err := q.run("first"); err != nil {
				t.Fatal(err)
			}
			if q.run("large") == nil || q.run("small") == nil {
				t.Fatal("they fit")
			}
			q.saw(&q.superPods()[0], true)
			if err := change(q, large); err != nil {
				t.Fatal(err)
			}
			_ = q.run("large")
			if it := q.controller.queue.items[request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: "small"}}]; it == nil || !it.queued {
				t.Error("the next is not called")
			}
		})
	}
}

// TestWorkersDoNotExceedTogether: many passes at the same time, and pods that end
// meanwhile, never have more than the quota in the super cluster.
func TestWorkersDoNotExceedTogether(t *testing.T) {
	const many, most = 60, 5
	q := newQuotaTest(t, list("1000", fmt.Sprint(most)), newSide(superObjects("unused")[0]))
	var mu sync.Mutex
	there, highest := map[string]bool{}, 0
	q.inSuper.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
		if err := c.Create(ctx, o, opts...); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		there[o.GetName()] = true
		highest = max(highest, len(there))
		return nil
	}})
	for i := range many {
		q.pod(fmt.Sprintf("p%d", i), "1")
		q.controller.queue.Add(request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: fmt.Sprintf("p%d", i)}}, begin)
	}
	var workers sync.WaitGroup
	ended := 0
	for range 16 {
		workers.Go(func() {
			for {
				r, _, ok := q.controller.queue.Get()
				if !ok {
					return
				}
				p := &pass{controller: q.controller, tenantCluster: q.tenant, request: r}
				_, err := p.reconcile(q.Context())
				q.controller.queue.Done(r)
				if err != nil || !p.created {
					continue
				}
				super := p.super
				mu.Lock()
				delete(there, r.Name)
				ended++
				over := ended == many
				mu.Unlock()
				q.saw(super.(*corev1.Pod), false)
				q.saw(super.(*corev1.Pod), true)
				if over {
					q.controller.queue.Close()
				}
			}
		})
	}
	workers.Wait()
	if highest > most || highest == 0 || ended != many {
		t.Errorf("%d were there at once, %d may be; %d of %d had their turn", highest, most, ended, many)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// TestWhatIsCounted: a namespace that is lost counts with all that it holds, and
// one that somebody deleted excuses it.
func TestWhatIsCounted(t *testing.T) {
	of := func(object client.Object, name, namespace, origin string, absent, explained bool) surveyed {
		object.SetName(name)
		object.SetNamespace(namespace)
		object.SetAnnotations(map[string]string{tenancyv1alpha1.AnnotationTenantOrigin: origin})
		return surveyed{super: object, absent: absent, explained: explained}
	}
	pod := func(namespace, origin string, absent, explained bool) surveyed {
		return of(&corev1.Pod{}, "p", namespace, origin, absent, explained)
	}
	namespace := func(name, origin string, absent, explained bool) surveyed {
		return of(&corev1.Namespace{}, name, "", origin, absent, explained)
	}
	cases := map[string]struct {
		all     []surveyed
		want    evidence
		highest string
	}{
		"all are there":     {[]surveyed{namespace("a", "c/5", false, false), pod("a", "c/70", false, false)}, evidence{total: 2}, "70"},
		"a pod is lost":     {[]surveyed{namespace("a", "c/5", false, false), pod("a", "c/70", true, false)}, evidence{total: 2, orphans: 1}, "70"},
		"a pod was deleted": {[]surveyed{namespace("a", "c/5", false, false), pod("a", "c/9", true, true)}, evidence{total: 2}, "9"},
		"a namespace is lost, its pods are not": {
			[]surveyed{pod("a", "c/9", false, false), namespace("a", "c/5", true, false), pod("b", "c/9", false, false)}, evidence{total: 3, orphans: 2}, "9",
		},
		"a namespace was deleted with what it held": {
			[]surveyed{pod("a", "c/9", true, false), namespace("a", "c/5", true, true), pod("b", "c/9", true, false)}, evidence{total: 3, orphans: 1}, "9",
		},
		"another cluster's":                      {[]surveyed{namespace("a", "other/500", true, false), pod("b", "c/9", false, false)}, evidence{total: 2, orphans: 1, replaced: true}, "9"},
		"another cluster's, and it is there":     {[]surveyed{namespace("a", "other/500", false, false)}, evidence{total: 1}, ""},
		"written before origins were written":    {[]surveyed{namespace("a", "", true, false)}, evidence{total: 1, orphans: 1}, ""},
		"an origin that cannot be read":          {[]surveyed{namespace("a", "c", true, false), pod("b", "c/x", false, false)}, evidence{total: 2, orphans: 1}, ""},
		"versions are compared by their numbers": {[]surveyed{namespace("a", "c/900", false, false), pod("b", "c/1000", false, false)}, evidence{total: 2}, "1000"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := summarize(tc.all, "c")
			if diff := cmp.Diff(tc.want, got.evidence, cmp.AllowUnexported(evidence{})); diff != "" {
				t.Errorf("evidence (-want +got):\n%s", diff)
			}
			if isBehind(got.highest, tc.highest) || isBehind(tc.highest, got.highest) {
				t.Errorf("highest version %q, want %q", got.highest, tc.highest)
			}
		})
	}
}

// loss is an engine with one tenant, whose pods in the super cluster have lost
// some of their tenant's.
type loss struct {
	*Engine
	tenant            *tenant
	clock             *clocktesting.FakeClock
	tenantSide, super *side
	watched           chan string // the version that a history was asked from
	deletions         int
	record            HoldRecord
}

// newLoss makes total pods in the super cluster, written at version 1000 of
// cluster "c"; the tenant has lost the first lost of them.
func newLoss(t *testing.T, cluster types.UID, version string, total, lost int) *loss {
	t.Helper()
	l := &loss{clock: clocktesting.NewFakeClock(time.Unix(1_000_000, 0)), watched: make(chan string, 8)}
	inTenant := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: cluster}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "ns"}},
	}
	inSuper := superObjects("new")[:1]
	for i := range total {
		owner := identity.Owner{TenantID: "tenant-1", Namespace: "shop", Name: fmt.Sprint("web-", i), UID: types.UID(fmt.Sprint("uid-", i))}
		superPod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: superNamespaceName(), Name: owner.Name, UID: types.UID(fmt.Sprint("super-", i))}}
		identity.Stamp(superPod, owner, virtualCluster)
		annotate(superPod, "c/1000")
		inSuper = append(inSuper, superPod)
		if i >= lost {
			inTenant = append(inTenant, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: owner.Name, UID: owner.UID}})
		}
	}
	l.tenantSide, l.super = newSide(inTenant...), newSide(inSuper...)
	l.tenantSide.live = interceptor.NewClient(l.tenantSide.live, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			err := c.List(ctx, list, opts...)
			list.SetResourceVersion(version)
			return err
		},
	})
	l.super.intercept(interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
		l.deletions++
		return c.Delete(ctx, o, opts...)
	}})
	var err error
	l.Engine, err = New(Options{
		Super: l.super, Kinds: []*kind.Translator{process().Translator()}, Clock: l.clock,
		Records: func(context.Context, types.NamespacedName) (HoldRecord, error) { return l.record, nil },
		Watcher: func(*fleet.Tenant) (client.WithWatch, error) { return nil, errNotATenant },
	})
	if err != nil {
		t.Fatal(err)
	}
	l.tenant = newTenant(t.Context(), fleet.NewTenant(l.tenantSide, "tenant-1", virtualCluster, fleet.Facts{}))
	l.tenant.brake = newBrake(BrakePolicy{}, l.clock)
	return l
}

// passes runs a pass over every pod, twice, with the time in between that an absence must last.
func (l *loss) passes(t *testing.T, pods int) {
	t.Helper()
	for range 2 {
		for i := range pods {
			r := request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("web-", i)}}
			p := &pass{controller: l.controllers[0], tenantCluster: l.tenant, request: r}
			_, _ = p.reconcile(t.Context()) // what it leaves alone is looked at
		}
		l.clock.Step(settleTime)
	}
}

// TestALossIsHeld: what a tenant has lost is not deleted in the super cluster,
// and what somebody deleted is, however much.
func TestALossIsHeld(t *testing.T) {
	cases := map[string]struct {
		cluster types.UID
		version string
		lost    int
		seen    int // of the lost, how many were seen to be deleted
		deleted int
		reason  string
	}{
		"nothing":                            {cluster: "c", version: "2000"},
		"a few while nobody looked":          {cluster: "c", version: "2000", lost: 8, deleted: 8},
		"most while nobody looked":           {cluster: "c", version: "2000", lost: 25, reason: many},
		"all, and they were seen to go":      {cluster: "c", version: "2000", lost: 30, seen: 30, deleted: 30},
		"most seen, a few not":               {cluster: "c", version: "2000", lost: 30, seen: 25, deleted: 30},
		"one, after a restore":               {cluster: "c", version: "999", lost: 1, reason: wentBack},
		"all, and it is another cluster":     {cluster: "another", version: "7", lost: 30, reason: replaced},
		"two of another cluster, seen to go": {cluster: "another", version: "7", lost: 2, seen: 2, deleted: 2},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			const pods = 30
			l := newLoss(t, tc.cluster, tc.version, pods, tc.lost)
			for i := range tc.seen {
				l.controllers[0].witness.saw(req("tenant-1", fmt.Sprint("web-", i)).in("shop"), types.UID(fmt.Sprint("uid-", i)))
			}
			if err := l.meet(l.tenant); err != nil {
				t.Fatal(err)
			}
			l.passes(t, pods)
			if l.deletions != tc.deleted {
				t.Errorf("%d deletions, want %d", l.deletions, tc.deleted)
			}
			hold := l.tenant.brake.held()
			if (hold == nil) != (tc.reason == "") || hold != nil && hold.Reason != tc.reason {
				t.Fatalf("hold %+v, want %q", hold, tc.reason)
			}
			if hold == nil {
				return
			}
			l.record.Allowed = hold.Since
			if _, err := l.judge(t.Context(), l.tenant); err != nil {
				t.Fatal(err)
			}
			if len(l.tenant.freed) != 1 {
				t.Error("nobody looks at what was held")
			}
			l.passes(t, pods)
			if l.deletions != tc.lost {
				t.Errorf("%d deletions after an operator allowed them, want %d", l.deletions, tc.lost)
			}
		})
	}
}

func (r request) in(namespace string) request {
	r.Namespace = namespace
	return r
}

// TestTheTenantsHistoryTells: deletions that a watch can still read are seen
// after the event, from the version that was synced last.
func TestTheTenantsHistoryTells(t *testing.T) {
	const pods, lost = 30, 25
	l := newLoss(t, "c", "2000", pods, lost)
	l.options.Watcher = func(*fleet.Tenant) (client.WithWatch, error) {
		return &historian{loss: l, lost: lost}, nil
	}
	if err := l.meet(l.tenant); err != nil {
		t.Fatal(err)
	}
	l.passes(t, pods)
	if l.deletions != lost || l.tenant.brake.held() != nil {
		t.Errorf("%d deletions, hold %+v", l.deletions, l.tenant.brake.held())
	}
	if from := <-l.watched; from != "1000" {
		t.Errorf("the history was read from version %q", from)
	}
}

// TestHowFarBackAHistoryIsRead: what a killed syncer had not come to was deleted
// before the newest object was synced; and what is forgotten is not asked twice.
func TestHowFarBackAHistoryIsRead(t *testing.T) {
	cases := map[string]struct {
		remembered int // the oldest version that the tenant remembers
		want       []string
	}{
		"all of it":        {0, []string{"100"}},
		"some of it":       {250, []string{"100", "300"}},
		"the newest of it": {950, []string{"100", "300", "400", "1000"}},
		"none of it":       {5000, []string{"100", "300", "400", "1000"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			l := newLoss(t, "c", "2000", 30, 25)
			l.options.Watcher = func(*fleet.Tenant) (client.WithWatch, error) {
				return &historian{loss: l, lost: 25, remembered: tc.remembered}, nil
			}
			missing := map[types.UID]string{}
			for i := range 25 {
				missing[types.UID(fmt.Sprint("uid-", i))] = []string{"400", "100", "200", "300", "", "x"}[i%6]
			}
			c := l.controllers[0]
			l.replay(t.Context(), l.tenant, survey{highest: "1000", orphaned: map[*controller]map[types.UID]string{c: missing}})
			close(l.watched)
			var asked []string
			for version := range l.watched {
				asked = append(asked, version)
			}
			if diff := cmp.Diff(tc.want, asked); diff != "" {
				t.Errorf("asked from versions (-want +got):\n%s", diff)
			}
			found := c.witness.has(request{"tenant-1", types.NamespacedName{Namespace: "shop", Name: "web-0"}}, "uid-0")
			if want := tc.remembered <= 1000; found != want {
				t.Errorf("found the deletion: %v, want %v", found, want)
			}
		})
	}
}

// TestASurveyThatFailsIsNoEvidence: a super cluster that cannot be read must
// not look like one in which nothing is lost.
func TestASurveyThatFailsIsNoEvidence(t *testing.T) {
	l := newLoss(t, "another", "7", 3, 3)
	if err := l.meet(l.tenant); err != nil {
		t.Fatal(err)
	}
	broken := interceptor.Funcs{List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
		return errNotATenant
	}}
	l.super.intercept(broken)
	if _, err := l.judge(t.Context(), l.tenant); err == nil || l.tenant.brake.held() == nil {
		t.Errorf("error %v, hold %+v", err, l.tenant.brake.held())
	}
}

// TestWhatIsUsedByTheLostStays: nothing refers to an object any more because
// what did is lost.
func TestWhatIsUsedByTheLostStays(t *testing.T) {
	l := newLoss(t, "another", "7", 3, 2)
	l.controllers[0].kind.Select = func(client.Object) bool { return false }
	l.controllers[0].kind.Lifecycle = kind.Declared
	if err := l.meet(l.tenant); err != nil {
		t.Fatal(err)
	}
	l.clock.Step(time.Hour)
	l.passes(t, 3)
	if l.deletions != 0 {
		t.Errorf("%d deletions", l.deletions)
	}
}

// TestOriginIsNewsOnlyWithOtherNews: a tenant's object whose version changes
// causes no write by that alone.
func TestOriginIsNewsOnlyWithOtherNews(t *testing.T) {
	objects := tenantObjects("new")
	tenantSide, superSide := newSide(objects...), newSide(superObjects("new")...)
	withoutSecret := process()
	withoutSecret.Attach = nil
	reconcile := newPasses(t, withoutSecret.Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide)
	originNow := func() string {
		if err := reconcile(); err != nil {
			t.Fatal(err)
		}
		var superPod corev1.Pod
		exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, &superPod)
		return superPod.Annotations[tenancyv1alpha1.AnnotationTenantOrigin]
	}
	change := func(mutate func(*corev1.Pod)) {
		var tenantPod corev1.Pod
		exists(t, tenantSide.live, types.NamespacedName{Namespace: "shop", Name: "web"}, &tenantPod)
		mutate(&tenantPod)
		if err := tenantSide.live.Update(t.Context(), &tenantPod); err != nil {
			t.Fatal(err)
		}
	}
	first := originNow() // its label crosses
	change(func(p *corev1.Pod) { p.Finalizers = []string{"example.com/x"} })
	if second := originNow(); second != first || first == "" {
		t.Errorf("origin %q, then %q after a change that does not cross", first, second)
	}
	change(func(p *corev1.Pod) { p.Labels["app"] = "other" })
	if third := originNow(); third == first {
		t.Errorf("origin %q after a change that crosses", third)
	}
}

// TestWitness: one name, several objects after each other.
func TestWitness(t *testing.T) {
	w, r := newWitness(), req("t", "a")
	for i := range 2 * maxWitnessed {
		w.saw(r, types.UID(fmt.Sprint(i)))
	}
	if !w.has(r, "0") || w.has(r, types.UID(fmt.Sprint(2*maxWitnessed-1))) {
		t.Error("the oldest must be kept")
	}
	w.settle(r, "0")
	if !w.has(r, "0") || w.has(r, "1") {
		t.Error("only the one that super stands for must be kept")
	}
	w.settle(r, "other")
	if len(w.seen) != 0 {
		t.Errorf("left %v", w.seen)
	}
	w.saw(r, "0")
	w.saw(req("u", "a"), "0")
	w.dropTenant("t")
	if diff := cmp.Diff(map[request][]types.UID{req("u", "a"): {"0"}}, w.seen, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// historian is a tenant that remembers who was deleted.
type historian struct {
	client.WithWatch
	loss *loss
	lost int
	// remembered is the oldest version that is still known.
	remembered int
}

func (h *historian) Watch(_ context.Context, _ client.ObjectList, opts ...client.ListOption) (watch.Interface, error) {
	options := new(client.ListOptions).ApplyOptions(opts)
	h.loss.watched <- options.Raw.ResourceVersion
	w := watch.NewFakeWithChanSize(h.lost+1, false)
	from, err := strconv.Atoi(options.Raw.ResourceVersion)
	if err != nil {
		return nil, err
	}
	if from < h.remembered {
		w.Error(&apierrors.NewResourceExpired("too old").ErrStatus)
		return w, nil
	}
	w.Add(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "later", UID: "later"}})
	for i := range h.lost {
		w.Delete(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprint("web-", i), UID: types.UID(fmt.Sprint("uid-", i))}})
	}
	return w, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

var virtualCluster = types.NamespacedName{Namespace: "default", Name: "demo"}

// side is one cluster: what its cache shows and what is true.
type side struct {
	cluster.Cluster
	cached, live client.WithWatch
}

func (s *side) GetClient() client.Client    { return s.cached }
func (s *side) GetAPIReader() client.Reader { return s.live }
func (s *side) GetScheme() *runtime.Scheme  { return clientgoscheme.Scheme }
func newSide(objects ...client.Object) *side {
	c := newFake(objects...)
	return &side{cached: c, live: c}
}
func (s *side) intercept(f interceptor.Funcs) { s.cached = interceptor.NewClient(s.cached, f) }
func newFake(o ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme).WithObjects(o...).
		WithIndex(&corev1.Namespace{}, metav1.ObjectNameField, func(o client.Object) []string { return []string{o.GetName()} }).Build()
}

// process is a kind that runs once, reduced to what the engine sees of it.
func process() kind.Downward[*corev1.Pod] {
	return kind.Downward[*corev1.Pod]{
		Object: &corev1.Pod{}, Lifecycle: kind.Process,
		Down: func(_ context.Context, _ kind.Env, tenant, super *corev1.Pod) error {
			super.Spec = tenant.Spec
			return nil
		},
		Up: func(_ context.Context, _ kind.Env, super, tenant *corev1.Pod) error {
			tenant.Status.Phase = super.Status.Phase
			return nil
		},
		Attach: func(context.Context, kind.Env, *corev1.Pod, *corev1.Pod) (*kind.Attachment, error) {
			return &kind.Attachment{Name: "beside", Data: map[string][]byte{"a": []byte("b")}}, nil
		},
		Bound:    func(*corev1.Pod) bool { return false },
		Finished: func(*corev1.Pod) bool { return false },
	}
}

// reconcilePod runs one pass over shop/web.
func reconcilePod(t *testing.T, tenantSide, superSide *side) error {
	t.Helper()
	return reconcileKind(t, process().Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide)
}

func reconcileKind(t *testing.T, k *kind.Translator, key types.NamespacedName, tenantSide, superSide *side) error {
	t.Helper()
	return newPasses(t, k, key, tenantSide, superSide)()
}

// newPasses returns a function that runs one pass after another in one engine.
func newPasses(t *testing.T, k *kind.Translator, key types.NamespacedName, tenantSide, superSide *side) func() error {
	t.Helper()
	e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{k}})
	if err != nil {
		t.Fatal(err)
	}
	tn := newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{}))
	// The watch has seen the end of every object that is gone; see brake_test.go for the others.
	e.controllers[0].witness.saw(request{Tenant: "tenant-1", NamespacedName: key}, "new")
	return func() error {
		p := &pass{controller: e.controllers[0], tenantCluster: tn, request: request{Tenant: "tenant-1", NamespacedName: key}}
		_, err := p.reconcile(t.Context())
		return err
	}
}

func superNamespaceName() string { return names.Tenant{ID: "tenant-1", Name: "demo"}.Namespace("shop") }

func tenantObjects(podUID types.UID) []client.Object {
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "ns"}},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: podUID, Labels: map[string]string{"app": "web"}},
			Spec:       corev1.PodSpec{NodeName: "n"},
		},
	}
}

func superObjects(podUID types.UID) []client.Object {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: superNamespaceName()}}
	identity.Stamp(namespace, identity.Owner{TenantID: "tenant-1", Name: "shop", UID: "ns"}, virtualCluster)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace.Name, Name: "web", UID: "super"},
		Spec:       corev1.PodSpec{NodeName: "n"}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
	}
	identity.Stamp(pod, identity.Owner{TenantID: "tenant-1", Namespace: "shop", Name: "web", UID: podUID}, virtualCluster)
	return []client.Object{namespace, pod}
}

func exists(t *testing.T, c client.Client, key types.NamespacedName, object client.Object) bool {
	t.Helper()
	err := c.Get(t.Context(), key, object)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	return err == nil
}

// TestWhatALateCacheShowsIsNotDeleted: a cache that shows no object, or the one
// before it, is believed only if the API server agrees.
func TestWhatALateCacheShowsIsNotDeleted(t *testing.T) {
	nothing := []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "ns"}}}
	cases := map[string]struct {
		cached, live []client.Object
		kept         bool
	}{
		"the cache has nothing, and it lives":        {nothing, tenantObjects("new"), true},
		"the cache has its forerunner, and it lives": {tenantObjects("old"), tenantObjects("new"), true},
		"it is gone": {nothing, nothing, false},
		"it is gone, and the cache has its forerunner": {tenantObjects("old"), nothing, false},
		"another has taken its place":                  {tenantObjects("newer"), tenantObjects("newer"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenantSide := &side{cached: newFake(tc.cached...), live: newFake(tc.live...)}
			superSide := newSide(superObjects("new")...)
			var deletions []client.DeleteOptions
			superSide.intercept(interceptor.Funcs{Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
				deletions = append(deletions, *new(client.DeleteOptions).ApplyOptions(opts))
				return c.Delete(ctx, o, opts...)
			}})
			err := reconcilePod(t, tenantSide, superSide)
			if kept := len(deletions) == 0; kept != tc.kept || kind.IsWait(err) != tc.kept {
				t.Errorf("deletions %+v, error %v", deletions, err)
			}
			for _, deletion := range deletions {
				if deletion.Preconditions == nil || *deletion.Preconditions.UID != "super" {
					t.Errorf("a deletion without the UID: %+v", deletion)
				}
			}
		})
	}
}

// TestAnEndIsAskedForOnce: several events of the tenant arrive before the super
// cluster's cache shows the deletion.
func TestAnEndIsAskedForOnce(t *testing.T) {
	grace, now := int64(30), metav1.Now()
	objects := tenantObjects("new")
	objects[1].SetDeletionGracePeriodSeconds(&grace)
	objects[1].SetDeletionTimestamp(&metav1.Time{Time: now.Add(30 * time.Second)})
	objects[1].SetFinalizers([]string{"example.com/stay"})
	superSide := newSide(superObjects("new")...)
	var graces []int64
	superSide.intercept(interceptor.Funcs{Delete: func(_ context.Context, _ client.WithWatch, _ client.Object, opts ...client.DeleteOption) error {
		graces = append(graces, *new(client.DeleteOptions).ApplyOptions(opts).GracePeriodSeconds)
		return nil // the cache shows nothing of it
	}})
	tenantSide := newSide(objects...)
	tenantSide.intercept(interceptor.Funcs{Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		return tenantSide.live.Get(ctx, key, o, opts...)
	}})
	pass := newPasses(t, process().Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide)
	for range 3 {
		if err := pass(); err != nil {
			t.Fatal(err)
		}
	}
	if len(graces) != 1 || graces[0] > 30 || graces[0] < 25 {
		t.Fatalf("deletions with grace %v, want one with what is left of 30", graces)
	}
	tenantSide.live = newFake() // forced
	for range 2 {
		if err := pass(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]int64{graces[0], orphanGrace}, graces); diff != "" {
		t.Errorf("a more urgent one must pass, once (-want +got):\n%s", diff)
	}
}

// TestADeletionThatWasCutShortIsAskedForAgain: an API server that lost its
// client in the middle of a deletion leaves an object behind that is marked as
// gone and that nothing holds.
func TestADeletionThatWasCutShortIsAskedForAgain(t *testing.T) {
	cases := map[string]struct {
		marked     time.Duration // ago
		finalizers []string
		want       int
	}{
		"marked long ago":    {time.Minute, nil, 1},
		"marked just now":    {0, nil, 0},
		"held by finalizers": {time.Minute, []string{"example.com/stay"}, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			grace, marked := int64(0), metav1.NewTime(time.Now().Add(-tc.marked))
			objects := tenantObjects("new")
			objects[1].SetDeletionGracePeriodSeconds(&grace)
			objects[1].SetDeletionTimestamp(&marked)
			objects[1].SetFinalizers([]string{"the fake client needs one"})
			tenantSide, deletions := newSide(objects...), 0
			tenantSide.intercept(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					err := c.Get(ctx, key, o, opts...)
					o.SetFinalizers(tc.finalizers)
					return err
				},
				Delete: func(_ context.Context, _ client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
					deletion := new(client.DeleteOptions).ApplyOptions(opts)
					if o.GetName() != "web" || *deletion.GracePeriodSeconds != 0 || *deletion.Preconditions.UID != "new" {
						t.Errorf("deletion of %s: %+v", o.GetName(), deletion)
					}
					deletions++
					return nil // the cache shows nothing of it
				},
			})
			superSide := newSide(superObjects("new")[0])
			pass := newPasses(t, process().Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide)
			for range 3 {
				if err := pass(); err != nil {
					t.Fatal(err)
				}
			}
			if deletions != tc.want {
				t.Errorf("%d deletions, want %d", deletions, tc.want)
			}
		})
	}
}

// TestWhatRunsOnceIsStartedOnce: a syncer whose cache is late, as after a
// freeze, starts nothing that has ended, is ending, or was started elsewhere.
func TestWhatRunsOnceIsStartedOnce(t *testing.T) {
	now := metav1.Now()
	cases := map[string]struct {
		live   func(pod *corev1.Pod) *corev1.Pod
		starts bool
	}{
		"waits for its start": {func(pod *corev1.Pod) *corev1.Pod { return pod }, true},
		"is gone":             {func(*corev1.Pod) *corev1.Pod { return nil }, false},
		"is another":          {func(pod *corev1.Pod) *corev1.Pod { pod.UID = "newer"; return pod }, false},
		"is ending": {func(pod *corev1.Pod) *corev1.Pod {
			pod.DeletionTimestamp, pod.Finalizers = &now, []string{"example.com/stay"}
			return pod
		}, false},
		"was started": {func(pod *corev1.Pod) *corev1.Pod { pod.Spec.NodeName = "virtual-node-0"; return pod }, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			unbound := func() []client.Object {
				objects := tenantObjects("new")
				objects[1].(*corev1.Pod).Spec.NodeName = ""
				return objects
			}
			tenantSide := &side{cached: newFake(unbound()...), live: newFake()}
			if live := tc.live(unbound()[1].(*corev1.Pod)); live != nil {
				tenantSide.live = newFake(live)
			}
			superSide := newSide(superObjects("new")[0])
			k := process()
			k.Bound = func(pod *corev1.Pod) bool { return pod.Spec.NodeName != "" }
			err := reconcileKind(t, k.Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide)
			started := exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, &corev1.Pod{})
			if started != tc.starts || kind.IsWait(err) == tc.starts {
				t.Errorf("started %v, error %v", started, err)
			}
		})
	}
}

// TestNothingIsChangedForItsOwnForerunner: an API server says that an address is
// taken before it says that the object is there which holds it. A tenant's
// object is changed only for what stays in its way.
func TestNothingIsChangedForItsOwnForerunner(t *testing.T) {
	taken := apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "web", nil)
	cases := map[string]struct {
		live   []client.Object // what the super cluster holds and its cache does not show
		tries  int             // before this one
		healed bool
	}{
		"its own, and the cache is late":    {superObjects("new"), healPatience, false},
		"somebody's, for the first time":    {superObjects("new")[:1], 0, false},
		"somebody's, and it does not leave": {superObjects("new")[:1], healPatience, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenantSide := newSide(tenantObjects("new")...)
			superSide := &side{cached: newFake(superObjects("new")[0]), live: newFake(tc.live...)}
			superSide.intercept(interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return taken
			}})
			k := process()
			k.Lifecycle, k.Attach = kind.Declared, nil
			k.Heal = func(_ kind.Env, tenant *corev1.Pod, refusal error) bool {
				if refusal == nil {
					return false
				}
				tenant.Labels = map[string]string{"moved": "yes"}
				return true
			}
			e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{k.Translator()}})
			if err != nil {
				t.Fatal(err)
			}
			tn := newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{}))
			e.equip(tn)
			r := request{Tenant: "tenant-1", NamespacedName: types.NamespacedName{Namespace: "shop", Name: "web"}}
			for range tc.tries {
				e.controllers[0].queue.Retry(r)
			}
			p := &pass{controller: e.controllers[0], tenantCluster: tn, request: r}
			if _, err := p.reconcile(t.Context()); !kind.IsWait(err) {
				t.Fatalf("error %v, want a wait", err)
			}
			var pod corev1.Pod
			if !exists(t, tenantSide.live, r.NamespacedName, &pod) {
				t.Fatal("the tenant's object is gone")
			}
			if healed := pod.Labels["moved"] != ""; healed != tc.healed {
				t.Errorf("the tenant's object was changed: %v, want %v", healed, tc.healed)
			}
		})
	}
}

// TestAnInvalidObjectIsNotLookedFor: what has no address cannot be in its own
// way, so a refusal of it costs no read of the super cluster.
func TestAnInvalidObjectIsNotLookedFor(t *testing.T) {
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "web", nil)
	for name, tc := range map[string]struct {
		heals bool
		reads int
	}{"a kind that heals": {true, 1}, "any other": {false, 0}} {
		t.Run(name, func(t *testing.T) {
			superSide, reads := newSide(superObjects("new")[0]), 0
			superSide.live = interceptor.NewClient(newFake(), interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
					reads++
					return c.Get(ctx, key, o, opts...)
				},
			})
			superSide.intercept(interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return invalid
			}})
			k := process()
			k.Lifecycle, k.Attach = kind.Declared, nil
			if tc.heals {
				k.Heal = func(kind.Env, *corev1.Pod, error) bool { return false }
			}
			err := reconcileKind(t, k.Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, newSide(tenantObjects("new")...), superSide)
			if !apierrors.IsInvalid(err) || reads != tc.reads {
				t.Errorf("error %v after %d reads, want the refusal after %d", err, reads, tc.reads)
			}
		})
	}
}

// TestHealPatienceIsAboutASecond: less, and an object is changed for what is
// just going; more, and its tenant waits for nothing.
func TestHealPatienceIsAboutASecond(t *testing.T) {
	var patience time.Duration
	for tries := range healPatience {
		patience += min(waitBase<<tries, waitMax)
	}
	if patience < time.Second/2 || patience > 3*time.Second {
		t.Errorf("a refusal is given %s to go away", patience)
	}
}

// TestStepsDoNotWaitForEachOther: what the super cluster refuses to change does
// not hide how the pod does, and a report that is refused stops no token.
func TestStepsDoNotWaitForEachOther(t *testing.T) {
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", nil)
	cases := map[string]struct{ super, tenant interceptor.Funcs }{
		"super refuses the change": {super: interceptor.Funcs{Patch: func(_ context.Context, _ client.WithWatch, _ client.Object, _ client.Patch, _ ...client.PatchOption) error {
			return denied
		}}},
		"the tenant refuses the report": {tenant: interceptor.Funcs{SubResourceUpdate: func(context.Context, client.Client, string, client.Object, ...client.SubResourceUpdateOption) error {
			return denied
		}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")...)
			tenantSide.intercept(tc.tenant)
			superSide.intercept(tc.super)
			if err := reconcilePod(t, tenantSide, superSide); !apierrors.IsForbidden(err) {
				t.Errorf("error %v, want what was refused", err)
			}
			var tenantPod corev1.Pod
			exists(t, tenantSide.live, types.NamespacedName{Namespace: "shop", Name: "web"}, &tenantPod)
			if reported := tenantPod.Status.Phase == corev1.PodRunning; reported != (tc.super.Patch != nil) {
				t.Errorf("reported: %v", reported)
			}
			if !exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "beside"}, &corev1.Secret{}) {
				t.Error("the pod did not get its secret")
			}
		})
	}
}

// TestTwoSyncersDoNotOverwriteEachOther: one that lost its Lease and does not
// know it yet works on what it saw last; its patch is refused.
func TestTwoSyncersDoNotOverwriteEachOther(t *testing.T) {
	superSide := newSide(superObjects("new")...)
	stale := superObjects("new")
	for _, object := range stale {
		object.SetResourceVersion("1")
	}
	old := newFake(stale...)
	superSide.intercept(interceptor.Funcs{Get: func(ctx context.Context, _ client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		return old.Get(ctx, key, o, opts...)
	}})
	if err := reconcilePod(t, newSide(tenantObjects("new")...), superSide); !apierrors.IsConflict(err) {
		t.Errorf("error %v, want a conflict", err)
	}
	var superPod corev1.Pod
	exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, &superPod)
	if superPod.Labels["app"] != "" {
		t.Error("the stale syncer wrote")
	}
}

// TestForeignNamespace: nothing is written into a namespace that is not this
// tenant's, or that stands for a namespace of the same name that is gone.
func TestForeignNamespace(t *testing.T) {
	for name, owner := range map[string]identity.Owner{
		"another tenant's": {TenantID: "tenant-2", Name: "shop", UID: "ns"},
		"another name's":   {TenantID: "tenant-1", Name: "other", UID: "ns"},
		"a forerunner's":   {TenantID: "tenant-1", Name: "shop", UID: "old"},
		"nobody's":         {},
	} {
		t.Run(name, func(t *testing.T) {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: superNamespaceName()}}
			if owner.TenantID != "" {
				identity.Stamp(namespace, owner, virtualCluster)
			}
			superSide := newSide(namespace)
			if err := reconcilePod(t, newSide(tenantObjects("new")...), superSide); !kind.IsWait(err) {
				t.Errorf("error %v, want a wait", err)
			}
			if exists(t, superSide.live, types.NamespacedName{Namespace: namespace.Name, Name: "web"}, &corev1.Pod{}) {
				t.Error("a pod was created")
			}
		})
	}
}

// TestHiddenMetadata: what a tenant says about such an object stays behind, and
// what super says stays.
func TestHiddenMetadata(t *testing.T) {
	k := kind.Downward[*corev1.Namespace]{
		Object: &corev1.Namespace{}, HideMetadata: true,
		SuperKey: func(tenant names.Tenant, key types.NamespacedName) types.NamespacedName {
			return types.NamespacedName{Name: tenant.Namespace(key.Name)}
		},
		Down: func(context.Context, kind.Env, *corev1.Namespace, *corev1.Namespace) error { return nil },
	}
	tenantNamespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: "shop", UID: "ns", Labels: map[string]string{"istio-injection": "enabled"},
		Annotations: map[string]string{"example.com/node-selector": "a=b"},
	}}
	superNamespace := superObjects("new")[0]
	superNamespace.GetLabels()["cost-center"] = "7"
	superSide := newSide(superNamespace)
	key := types.NamespacedName{Name: "shop"}
	if err := reconcileKind(t, k.Translator(), key, newSide(tenantNamespace), superSide); err != nil {
		t.Fatal(err)
	}
	var got corev1.Namespace
	exists(t, superSide.live, types.NamespacedName{Name: superNamespaceName()}, &got)
	if diff := cmp.Diff(superNamespace.GetLabels(), got.Labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(superNamespace.GetAnnotations(), got.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
}

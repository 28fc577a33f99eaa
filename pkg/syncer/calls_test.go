// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/names"
	"virtualcluster.io/virtualcluster/pkg/syncer/engine"
	"virtualcluster.io/virtualcluster/pkg/syncer/kinds"
)

// TestCallsOfAPodsLife counts every request that the syncer makes for one pod,
// from its creation to its end, with all kinds on. A number that must grow is a
// decision: it is paid for each pod of every tenant. Both API servers are fakes;
// test/integration/syncer counts the writes on real ones.
func TestCallsOfAPodsLife(t *testing.T) {
	super, tenant := newCounted(t), newCounted(t)
	superNamespace := startEngine(t, super, tenant, fleet.Facts{})
	super.forget()
	tenant.forget()

	no := false
	pod := &corev1.Pod{
		// A fake knows no grace: what keeps the pod until its kubelet is done is a finalizer.
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "pod-1", Finalizers: []string{"example.com/kubelet"}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no, EnableServiceLinks: &no,
			Containers: []corev1.Container{{Name: "main", Image: "app"}},
		},
	}
	tenant.make(t, pod)
	superPod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: superNamespace, Name: "web"}}
	until(t, "the super pod", func() error { return super.base.Get(t.Context(), client.ObjectKeyFromObject(superPod), superPod) })
	superPod.Spec.NodeName = "node-1"
	super.change(t, superPod)
	until(t, "the pod bound", func() error {
		return tenant.check(t, pod, func() bool { return pod.Spec.NodeName == tenancyv1alpha1.VirtualNodeName })
	})
	superPod.Status.Phase, superPod.Status.StartTime = corev1.PodRunning, &metav1.Time{Time: time.Unix(1_000_000, 0)}
	superPod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Ready: true}}
	super.change(t, superPod)
	until(t, "the pod running", func() error {
		return tenant.check(t, pod, func() bool { return pod.Status.Phase == corev1.PodRunning })
	})
	tenant.remove(t, pod)
	until(t, "the tenant's pod ended", func() error {
		if tenant.count("DELETE Pod") == 0 {
			return errors.New("not yet")
		}
		return nil
	})
	if err := tenant.base.Get(t.Context(), client.ObjectKeyFromObject(pod), pod); err != nil {
		t.Fatal(err)
	}
	pod.Finalizers = nil
	tenant.change(t, pod)

	if diff := cmp.Diff(map[string]int{"POST Pod": 1, "DELETE Pod": 1}, super.calls()); diff != "" {
		t.Errorf("requests to the super cluster (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{"POST Pod/binding": 1, "PUT Pod/status": 1, "DELETE Pod": 1}, tenant.calls()); diff != "" {
		t.Errorf("requests to the tenant (-want +got):\n%s", diff)
	}
}

// startEngine runs an engine of all kinds for one tenant, and returns the name of
// the super namespace of the tenant's namespace shop.
func startEngine(t *testing.T, super, tenant *counted, facts fleet.Facts) (superNamespace string) {
	t.Helper()
	for _, namespace := range []string{"default", "kube-system", "shop"} {
		tenant.make(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	}
	tenant.make(t, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.10"}}},
	})
	e, err := engine.New(engine.Options{
		Super: super, Kinds: kinds.All(), Sole: func(string) bool { return true },
		Watcher: func(*fleet.Tenant) (client.WithWatch, error) { return tenant.base, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- e.Start(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	id := types.NamespacedName{Namespace: "teams", Name: "blue"}
	facts.Sandbox = tenancyv1alpha1.ClassSandbox{Default: "gvisor", Allowed: []string{"gvisor"}}
	if err := e.Engage(ctx, "tenant-1", fleet.NewTenant(tenant, "tenant-1", id, facts)); err != nil {
		t.Fatal(err)
	}
	superNamespace = names.Tenant{ID: "tenant-1", Name: "blue"}.Namespace("shop")
	until(t, "the super namespace", func() error {
		return super.base.Get(t.Context(), client.ObjectKey{Name: superNamespace}, &corev1.Namespace{})
	})
	return superNamespace
}

// counted is a fake API server with caches. It counts what is asked of it, but
// for what the test itself does; reading from a cache asks nothing.
type counted struct {
	cluster.Cluster
	base      client.WithWatch
	writes    client.WithWatch
	live      client.WithWatch
	informers *informertest.FakeInformers
	ctx       context.Context //nolint:containedctx // the test's.

	mu     sync.Mutex
	counts map[string]int
	uids   int
}

func newCounted(t *testing.T) *counted {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&corev1.Pod{}).
		WithIndex(&corev1.Namespace{}, metav1.ObjectNameField, func(o client.Object) []string { return []string{o.GetName()} })
	if err := errors.Join(
		engine.IndexReferences(t.Context(), indexer{builder}, kinds.All()),
		engine.IndexSuper(t.Context(), indexer{builder}, kinds.All())); err != nil {
		t.Fatal(err)
	}
	c := &counted{ctx: t.Context(), base: builder.Build(), counts: map[string]int{}, informers: &informertest.FakeInformers{Scheme: scheme}}
	c.writes = interceptor.NewClient(c.base, interceptor.Funcs{
		Create: func(ctx context.Context, next client.WithWatch, object client.Object, opts ...client.CreateOption) error {
			c.identify(object)
			return c.counting("POST", "", object, func() error { return next.Create(ctx, object, opts...) })
		},
		Patch: func(ctx context.Context, next client.WithWatch, object client.Object, patch client.Patch, opts ...client.PatchOption) error {
			return c.counting("PATCH", "", object, func() error { return next.Patch(ctx, object, patch, opts...) })
		},
		Delete: func(ctx context.Context, next client.WithWatch, object client.Object, opts ...client.DeleteOption) error {
			return c.counting("DELETE", "", object, func() error { return next.Delete(ctx, object, opts...) })
		},
		SubResourceCreate: func(_ context.Context, _ client.Client, name string, object, sub client.Object, _ ...client.SubResourceCreateOption) error {
			return c.counting("POST", name, object, func() error { return c.bind(sub) })
		},
		SubResourceUpdate: func(ctx context.Context, next client.Client, name string, object client.Object, opts ...client.SubResourceUpdateOption) error {
			return c.counting("PUT", name, object, func() error { return next.SubResource(name).Update(ctx, object, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, next client.Client, name string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
			return c.counting("PATCH", name, object, func() error { return next.SubResource(name).Patch(ctx, object, patch, opts...) })
		},
	})
	c.live = interceptor.NewClient(c.base, interceptor.Funcs{
		Get: func(ctx context.Context, next client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			c.counted("GET", "", object)
			return next.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, next client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if applied := (&client.ListOptions{}); len(opts) > 0 && applied.ApplyOptions(opts).Limit != 1 { // a look at the version, at an interval
				c.note(fmt.Sprintf("LIST %T", list))
			}
			return next.List(ctx, list, opts...)
		},
	})
	return c
}

// GetClient implements cluster.Cluster.
func (c *counted) GetClient() client.Client { return c.writes }

// GetAPIReader implements cluster.Cluster.
func (c *counted) GetAPIReader() client.Reader { return c.live }

// GetScheme implements cluster.Cluster.
func (c *counted) GetScheme() *runtime.Scheme { return c.base.Scheme() }

// GetCache implements cluster.Cluster.
func (c *counted) GetCache() cache.Cache { return c.informers }

// indexer gives indexes to a fake client.
type indexer struct{ builder *fake.ClientBuilder }

// IndexField implements client.FieldIndexer.
func (i indexer) IndexField(_ context.Context, object client.Object, field string, extract client.IndexerFunc) error {
	i.builder.WithIndex(object, field, extract)
	return nil
}

// counting counts a write, makes it, and lets the cache see it.
func (c *counted) counting(verb, subresource string, object client.Object, write func() error) error {
	c.counted(verb, subresource, object)
	before := c.read(object)
	if err := write(); err != nil {
		return err
	}
	c.show(before, object)
	return nil
}

func (c *counted) counted(verb, subresource string, object client.Object) {
	name := strings.TrimPrefix(fmt.Sprintf("%T", object), "*v1.")
	if subresource != "" {
		name += "/" + subresource
	}
	c.note(verb + " " + name)
}

func (c *counted) note(call string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[call]++
}

func (c *counted) count(call string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[call]
}

func (c *counted) calls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

func (c *counted) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.counts)
}

// identify gives an object a UID, as an API server does.
func (c *counted) identify(object client.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if object.GetUID() == "" {
		c.uids++
		object.SetUID(types.UID(fmt.Sprintf("uid-%d", c.uids)))
	}
}

// bind does what an API server makes of a Binding, which the fake does not know.
func (c *counted) bind(sub client.Object) error {
	binding, ok := sub.(*corev1.Binding)
	if !ok {
		return fmt.Errorf("%T is no binding", sub)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: binding.Namespace, Name: binding.Name}}
	if err := c.base.Get(c.ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
		return err
	}
	pod.Spec.NodeName = binding.Target.Name
	pod.Annotations = binding.Annotations
	return c.base.Update(c.ctx, pod)
}

// read returns an object as it is stored, or nil.
func (c *counted) read(object client.Object) client.Object {
	stored := object.DeepCopyObject().(client.Object)
	if err := c.base.Get(c.ctx, client.ObjectKeyFromObject(object), stored); err != nil {
		return nil
	}
	return stored
}

// show tells the handlers of the cache what has become of an object.
func (c *counted) show(before, object client.Object) {
	gvk, err := apiutil.GVKForObject(object, c.GetScheme())
	if err != nil {
		return
	}
	informer, err := c.informers.FakeInformerForKind(c.ctx, gvk)
	if err != nil {
		return
	}
	switch after := c.read(object); {
	case before == nil && after != nil:
		informer.Add(after)
	case after != nil:
		informer.Update(before, after)
	case before != nil:
		informer.Delete(before)
	}
}

// make, change and remove are what others do: nobody counts them.
func (c *counted) make(t *testing.T, object client.Object) {
	t.Helper()
	c.identify(object)
	c.others(t, object, c.base.Create(t.Context(), object), nil)
}

func (c *counted) change(t *testing.T, object client.Object) {
	t.Helper()
	before := c.read(object)
	status := object.DeepCopyObject().(client.Object)
	err := c.base.Update(t.Context(), object)
	if stored := c.read(object); err == nil && stored != nil {
		status.SetResourceVersion(stored.GetResourceVersion())
		err = c.base.Status().Update(t.Context(), status)
		if fresh := c.read(object); fresh != nil {
			object.SetResourceVersion(fresh.GetResourceVersion())
		}
	}
	c.others(t, object, err, before)
}

func (c *counted) remove(t *testing.T, object client.Object) {
	t.Helper()
	before := c.read(object)
	c.others(t, object, c.base.Delete(t.Context(), object), before)
}

func (c *counted) others(t *testing.T, object client.Object, err error, before client.Object) {
	t.Helper()
	if err != nil && !apierrors.IsNotFound(err) {
		t.Fatal(err)
	}
	c.show(before, object)
}

// check reads an object and says whether it is as wanted.
func (c *counted) check(t *testing.T, object client.Object, wanted func() bool) error {
	t.Helper()
	if err := c.base.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		return err
	}
	if !wanted() {
		return fmt.Errorf("it is %+v", object)
	}
	return nil
}

func until(t *testing.T, what string, check func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 2*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, last)
	}
}

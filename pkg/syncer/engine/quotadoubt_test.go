// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

var errNoAnswer = errors.New("connection reset by peer")

// cacheShows has the super cluster's cache show of pods what it had before, or
// nothing, until the test says otherwise.
func (q *quotaTest) cacheShows(before *corev1.Pod) {
	q.inSuper.intercept(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
		pod, isPod := o.(*corev1.Pod)
		switch {
		case !isPod:
			return c.Get(ctx, key, o, opts...)
		case before == nil:
			return apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, key.Name)
		default:
			before.DeepCopyInto(pod)
			return nil
		}
	}})
}

func (q *quotaTest) superPod(name string) *corev1.Pod {
	q.Helper()
	pod := &corev1.Pod{}
	if !exists(q.T, q.inSuper.live, types.NamespacedName{Namespace: superNamespaceName(), Name: name}, pod) {
		q.Fatalf("there is no super pod %s", name)
	}
	return pod
}

// TestCreatedWithoutAnAnswerAndDeleted: what became of it is looked up live,
// because the tenant's object is gone and the cache shows nothing yet: the room of
// what exists is nobody else's, and what was never made leaves none behind.
func TestCreatedWithoutAnAnswerAndDeleted(t *testing.T) {
	for name, made := range map[string]bool{"it was made": true, "it was not made": false} {
		t.Run(name, func(t *testing.T) {
			q := newQuotaTest(t, list("1", "10"), newSide(superObjects("unused")[0]))
			works := q.inSuper.cached
			q.inSuper.intercept(interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if made {
					return errors.Join(c.Create(ctx, o, opts...), errNoAnswer)
				}
				return errNoAnswer
			}})
			pod := q.pod("web", "1")
			if err := q.run("web"); !errors.Is(err, errNoAnswer) {
				t.Fatalf("error %v", err)
			}
			q.inSuper.cached = works
			q.cacheShows(nil)
			q.pod("other", "1")
			if err := errors.Join(q.inTenant.live.Delete(t.Context(), pod), q.run("other")); err == nil {
				t.Fatal("it fits while nobody knows")
			}
			_ = q.run("web")
			if !made {
				q.wantUsed("0")
				if err := q.run("other"); err != nil {
					t.Error(err)
				}
				return
			}
			q.wantUsed("1")
			super := q.superPod("web")
			q.saw(super, false)
			q.saw(super, true)
			q.wantUsed("0")
		})
	}
}

// TestCreatedWithoutAnAnswerAndRefused: a pod that is not made any more leaves its
// room to others, though it stays in the tenant.
func TestCreatedWithoutAnAnswerAndRefused(t *testing.T) {
	q := newQuotaTest(t, list("1", "10"), newSide(superObjects("unused")[0]))
	q.inSuper.intercept(interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
		return errNoAnswer
	}})
	q.pod("web", "1")
	q.pod("other", "1")
	if q.run("web") == nil || q.run("other") == nil {
		t.Fatal("no error")
	}
	q.controller.kind.Down = func(context.Context, kind.Env, client.Object, client.Object) error { return kind.Reject("spec", "no") }
	if err := q.run("web"); kind.AsReject(err) == nil {
		t.Fatalf("error %v", err)
	}
	q.wantUsed("0")
	if q.controller.queue.Len() != 1 {
		t.Error("nobody is called")
	}
}

// TestDeletedBeforeItIsShown: a pod that was made and asked to end at once counts
// while it has its grace, though the cache never showed it.
func TestDeletedBeforeItIsShown(t *testing.T) {
	q := newQuotaTest(t, list("1", "10"), newSide(superObjects("unused")[0]))
	q.inSuper.intercept(interceptor.Funcs{Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
		return nil // it has its grace
	}})
	q.cacheShows(nil)
	pod := q.pod("web", "1")
	if err := errors.Join(q.run("web"), q.inTenant.live.Delete(t.Context(), pod)); err != nil {
		t.Fatal(err)
	}
	q.controller.sawDeletion(q.tenant)(pod)
	for range 3 { // it is asked to end, and its tenant's name has events still
		if err := q.run("web"); err != nil {
			t.Fatal(err)
		}
	}
	q.wantUsed("1")
	if err := q.inSuper.live.Delete(t.Context(), q.superPod("web")); err != nil {
		t.Fatal(err)
	}
	if err := q.run("web"); err != nil { // the watch missed both
		t.Fatal(err)
	}
	q.wantUsed("0")
}

// TestResizedWithoutAnAnswerAndBack: the tenant wants what it had, and the cache
// shows what was; what is counted is what there is.
func TestResizedWithoutAnAnswerAndBack(t *testing.T) {
	q := newQuotaTest(t, list("4", "10"), newSide(superObjects("unused")[0]))
	lost := true
	q.inSuper.intercept(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, _ string, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
		if err := c.Patch(ctx, o, p); err != nil || !lost {
			return err
		}
		return errNoAnswer
	}})
	pod := q.pod("web", "1")
	if err := q.run("web"); err != nil {
		t.Fatal(err)
	}
	q.cacheShows(q.superPod("web"))
	for _, cpu := range []string{"3", "1"} {
		pod.Spec.Containers = container(cpu)
		if err := q.inTenant.live.Update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		if err := q.run("web"); (err != nil) != lost {
			t.Fatalf("error %v", err)
		}
		if !lost {
			q.saw(q.superPod("web"), false) // less counts when it is seen
		}
		q.wantUsed(cpu)
		if has := q.superPod("web").Spec.Containers[0].Resources.Requests.Cpu().String(); has != cpu {
			t.Errorf("the super pod has %s, the tenant wants %s", has, cpu)
		}
		lost = false
	}
}

// TestConnectedAnewBeforeTheEnd: what the earlier connection has left is counted
// anew: of what it asked for nobody will tell.
func TestConnectedAnewBeforeTheEnd(t *testing.T) {
	q := newQuotaTest(t, list("1", "10"), newSide(superObjects("unused")[0]))
	q.inSuper.intercept(interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
		return errNoAnswer
	}})
	q.pod("web", "1")
	if err := q.run("web"); err == nil {
		t.Fatal("no error")
	}
	q.engine.tenants["tenant-1"] = q.tenant
	again := fleet.NewTenant(q.inTenant, "tenant-1", virtualCluster, fleet.Facts{Quota: list("1", "10")})
	if err := q.engine.Engage(t.Context(), "tenant-1", again); err != nil {
		t.Fatal(err)
	}
	q.engine.disengage(q.tenant) // which comes late, and is not about the new one
	if q.engine.tenants["tenant-1"].Tenant != again {
		t.Error("the new connection is gone")
	}
	if err := q.engine.meter(q.engine.tenants["tenant-1"]); err != nil {
		t.Fatal(err)
	}
	q.wantUsed("0")
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/names"
)

// testDeletedOutOfBand (F16): a ConfigMap, Secret, Service or token that
// somebody deletes in the super cluster is back within 10 s. A pod runs once:
// the tenant's goes too. So it is with a whole namespace.
func testDeletedOutOfBand(t *testing.T, w *faultWorld) {
	const limit = 10 * time.Second
	w.blue.namespace(t, "out-of-band")
	pod := w.blue.makeWorkload(t, "out-of-band", "web")
	w.blue.waitRunning(t, "out-of-band", "web")
	w.inOrder(t)
	super := w.blue.superKey("out-of-band", "web")
	for _, object := range []client.Object{
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: names.ConfigMap("web")}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: "web"}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: names.PodSecret(string(pod.UID))}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: "web"}},
	} {
		must(t, w.superClient.Get(t.Context(), client.ObjectKeyFromObject(object), object))
		before := object.GetUID()
		must(t, w.superClient.Delete(t.Context(), object))
		took := within(t, limit, fmt.Sprintf("%T again", object), func(ctx context.Context) error {
			if err := w.superClient.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
				return err
			}
			if object.GetUID() == before {
				return errStill
			}
			return nil
		})
		t.Logf("%T %s: again after %s", object, object.GetName(), took.Round(time.Millisecond))
	}
	must(t, w.superClient.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: super.Namespace}}))
	took := within(t, settle, "the tenant's pod gone", func(ctx context.Context) error { return gone(ctx, w.blue.client, pod) })
	again := within(t, settle, "the Service in a new namespace", func(ctx context.Context) error {
		return w.superClient.Get(ctx, super, &corev1.Service{})
	})
	t.Logf("a whole namespace: the pod gone after %s, the rest there again %s later", took.Round(time.Millisecond), again.Round(time.Millisecond))
}

// testEditedOutOfBand (F17): what somebody writes into a super object is taken
// back within 10 s, and then nothing is written any more.
func testEditedOutOfBand(t *testing.T, w *faultWorld) {
	const limit = 10 * time.Second
	w.blue.namespace(t, "edited")
	w.blue.makeWorkload(t, "edited", "web")
	w.blue.waitRunning(t, "edited", "web")
	w.inOrder(t)
	super := w.blue.superKey("edited", "web")
	edits := map[string]struct {
		object client.Object
		patch  string
	}{
		"a key of a ConfigMap": {&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: names.ConfigMap("web")}}, `{"data":{"key":"evil","more":"x"}}`},
		"a key of a Secret":    {&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: "web"}}, `{"data":{"key":"ZXZpbA=="}}`},
		"a Service's selector": {&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: "web"}}, `{"spec":{"selector":{"app":"evil"}}}`},
		"a pod's label":        {&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: super.Namespace, Name: "web"}}, `{"metadata":{"labels":{"app":"evil"}}}`},
		"a namespace's label":  {&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: super.Namespace}}, `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`},
	}
	for name, edit := range edits {
		must(t, w.superClient.Patch(t.Context(), edit.object, client.RawPatch(types.MergePatchType, []byte(edit.patch))))
		version := edit.object.GetResourceVersion()
		took := within(t, limit, name, func(ctx context.Context) error {
			if err := w.superClient.Get(ctx, client.ObjectKeyFromObject(edit.object), edit.object); err != nil {
				return err
			}
			if edit.object.GetResourceVersion() == version || isEvil(edit.object) {
				return errStill
			}
			return nil
		})
		t.Logf("%s: taken back after %s", name, took.Round(time.Millisecond))
	}
	w.waitCalm(t)
}

// isEvil reports whether an edit of testEditedOutOfBand is still there.
func isEvil(object client.Object) bool {
	switch o := object.(type) {
	case *corev1.ConfigMap:
		return o.Data["key"] != "value" || len(o.Data) != 1
	case *corev1.Secret:
		return string(o.Data["key"]) != "value"
	case *corev1.Service:
		return o.Spec.Selector["app"] != "web"
	case *corev1.Pod:
		return o.Labels["app"] != "web"
	default:
		return object.GetLabels()["pod-security.kubernetes.io/enforce"] == "privileged"
	}
}

// testFinalizedPod (F23): a tenant namespace is deleted while one pod in it has a
// finalizer of the tenant's, and another takes long to stop. Both super pods get
// the grace that the tenant's have. A tenant's pod stays while its super pod
// does, or its finalizer; its Service and the super namespace stay while there
// are pods; then everything goes, within 30 s.
func testFinalizedPod(t *testing.T, w *faultWorld) {
	w.blue.namespace(t, "finalized")
	held := makePod("finalized", "held")
	held.Finalizers = []string{hold}
	must(t, w.blue.client.Create(t.Context(), held))
	held = w.blue.waitRunning(t, "finalized", "held")
	superHeld := &corev1.Pod{}
	must(t, w.superClient.Get(t.Context(), w.blue.superKey("finalized", "held"), superHeld))
	if len(superHeld.Finalizers) > 0 {
		t.Fatalf("the super pod has the tenant's finalizers: %v", superHeld.Finalizers)
	}
	slow := w.blue.makeWorkload(t, "finalized", "slow")
	w.blue.waitRunning(t, "finalized", "slow")
	superSlow := &corev1.Pod{}
	must(t, w.superClient.Get(t.Context(), w.blue.superKey("finalized", "slow"), superSlow))
	w.holdPod(t, superSlow, true)
	w.inOrder(t)
	must(t, w.blue.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "finalized"}}))
	within(t, settle, "the super pods ending", func(ctx context.Context) error {
		return errors.Join(gone(ctx, w.superClient, superHeld), terminating(ctx, w.superClient, superSlow))
	})
	if grace, asked := *superSlow.DeletionGracePeriodSeconds, *slow.Spec.TerminationGracePeriodSeconds; grace < asked-10 || grace > asked {
		t.Errorf("the super pod has %d s to stop, want the tenant's %d, less what the deletion took", grace, asked)
	}
	consistently(t, "the tenant's pods stay, and what they use", time.Second, func(ctx context.Context) error {
		return errors.Join(terminating(ctx, w.blue.client, slow), w.heldBack(ctx, held, superHeld),
			w.superClient.Get(ctx, client.ObjectKeyFromObject(superSlow), &corev1.Service{}))
	})
	w.holdPod(t, superSlow, false)
	within(t, settle, "the pod gone that took long", func(ctx context.Context) error {
		return errors.Join(gone(ctx, w.superClient, superSlow), gone(ctx, w.blue.client, slow))
	})
	// The syncer looks again, 16 s later, at what it has asked for.
	consistently(t, "the tenant's pod stays, and no super pod comes", 18*time.Second, func(ctx context.Context) error {
		return w.heldBack(ctx, held, superHeld)
	})
	must(t, w.blue.client.Patch(t.Context(), held, mergePatch(`{"metadata":{"finalizers":null}}`)))
	within(t, settle, "both namespaces gone", func(ctx context.Context) error {
		return errors.Join(
			gone(ctx, w.blue.client, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "finalized"}}),
			gone(ctx, w.superClient, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: superHeld.Namespace}}))
	})
}

// heldBack reports anything but a tenant's pod that is on its way out, without a
// super pod, in a namespace that is there still on both sides.
func (w *faultWorld) heldBack(ctx context.Context, pod, superPod *corev1.Pod) error {
	var superNamespace corev1.Namespace
	err := w.superClient.Get(ctx, client.ObjectKey{Name: superPod.Namespace}, &superNamespace)
	if err == nil && superNamespace.DeletionTimestamp != nil {
		err = errors.New("the super namespace is going before the tenant's is gone")
	}
	return errors.Join(err, terminating(ctx, w.blue.client, pod), gone(ctx, w.superClient, superPod.DeepCopy()))
}

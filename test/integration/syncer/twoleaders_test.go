// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
)

// TestTwoSyncers has two syncers serve one tenant, each of which believes to be
// the only one, as after a Lease that was lost and not noticed. Nothing is made
// twice, comes back or is lost, and when the tenant is quiet nobody writes.
func TestTwoSyncers(t *testing.T) {
	e := newEnvironment(t)
	e.runFakeKubelet(t)
	tn := e.addTenant(t, "blue", "10.112.0.0/22")
	creations := e.countCreations(t)
	e.startSyncer(t)
	e.startSyncer(t)
	e.waitSynced(t, tn)
	tn.waitServiceAccount(t, "default")

	const objects = 30
	for i := range objects {
		must(t, tn.client.Create(t.Context(), makePod("default", fmt.Sprintf("both-%d", i))))
		must(t, tn.client.Create(t.Context(), makeService(fmt.Sprintf("both-%d", i))))
	}
	for i := range objects {
		name := fmt.Sprintf("both-%d", i)
		switch i % 3 {
		case 0: // goes
			must(t, tn.client.Delete(t.Context(), makePod("default", name)))
			must(t, tn.client.Delete(t.Context(), makeService(name)))
		case 1: // goes and comes again
			must(t, tn.client.Delete(t.Context(), makePod("default", name), client.GracePeriodSeconds(0)))
			tn.create(t, makePod("default", name))
			must(t, tn.client.Delete(t.Context(), makeService(name)))
			must(t, tn.client.Create(t.Context(), makeService(name)))
		default: // changes
			service := makeService(name)
			must(t, tn.client.Patch(t.Context(), service, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"changed":"yes"}}}`))))
		}
	}
	for range 8 { // names that are taken again at once, while one of the two may still act on the object before
		for i := 1; i < objects; i += 3 {
			name := fmt.Sprintf("both-%d", i)
			must(t, client.IgnoreNotFound(tn.client.Delete(t.Context(), makePod("default", name), client.GracePeriodSeconds(0))))
			tn.create(t, makePod("default", name))
			must(t, tn.client.Delete(t.Context(), makeService(name)))
			must(t, tn.client.Create(t.Context(), makeService(name)))
		}
	}
	for i := range objects {
		if i%3 != 0 {
			tn.waitRunning(t, "default", fmt.Sprintf("both-%d", i))
		}
	}
	eventually(t, "super as the tenant", func(ctx context.Context) error { return e.sameAs(ctx, tn) })
	before := e.stamped(t, tn)
	tenantBefore := versions(t, tn.client, client.InNamespace("default"))
	consistently(t, "calm", 10*time.Second, func(context.Context) error {
		after, tenantAfter := e.stamped(t, tn), versions(t, tn.client, client.InNamespace("default"))
		if !maps.Equal(before, after) || !maps.Equal(tenantBefore, tenantAfter) {
			return errors.New(cmp.Diff(before, after) + cmp.Diff(tenantBefore, tenantAfter))
		}
		return nil
	})
	for object, times := range creations() {
		if times != 1 {
			t.Errorf("%s was made %d times", object, times)
		}
	}
}

func makeService(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

// create creates an object as soon as its forerunner is gone.
func (tn *tenant) create(t *testing.T, object client.Object) {
	t.Helper()
	eventually(t, "creating "+object.GetName(), func(ctx context.Context) error {
		err := tn.client.Create(ctx, object)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
		return err
	})
}

// sameAs compares pods and services of the tenant's default namespace with
// what stands for them, by the tenant object's UID.
func (e *environment) sameAs(ctx context.Context, tn *tenant) error {
	wanted, got := map[string]types.UID{}, map[string]types.UID{}
	namespace := tn.superKey("default", "").Namespace
	for what, list := range map[string][2]client.ObjectList{
		"pod":     {&corev1.PodList{}, &corev1.PodList{}},
		"service": {&corev1.ServiceList{}, &corev1.ServiceList{}},
	} {
		if err := errors.Join(tn.client.List(ctx, list[0], client.InNamespace("default")), e.superClient.List(ctx, list[1], client.InNamespace(namespace))); err != nil {
			return err
		}
		for _, object := range items(list[0]) {
			wanted[what+" "+object.GetName()] = object.GetUID()
		}
		for _, object := range items(list[1]) {
			if owner, ok := identity.Of(object); ok {
				got[what+" "+owner.Name] = owner.UID
			}
		}
	}
	delete(wanted, "service kubernetes")
	delete(got, "service kubernetes")
	if !maps.Equal(wanted, got) {
		return errors.New(cmp.Diff(wanted, got))
	}
	return nil
}

func items(list client.ObjectList) (objects []client.Object) {
	switch list := list.(type) {
	case *corev1.PodList:
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	case *corev1.ServiceList:
		for i := range list.Items {
			objects = append(objects, &list.Items[i])
		}
	}
	return objects
}

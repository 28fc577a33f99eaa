// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/reconciler"
)

// deletion is a virtual cluster that is deleted by a process that will die.
type deletion struct {
	virtualCluster *tenancyv1alpha1.VirtualCluster
	dying          *reconciler.Reconciler
	crashed        func() bool
	gone           bool
}

// testCrashPointsOfDeletion stops deletions before and after every write they
// make; the next process must finish them. All go at once, since each waits for
// the namespace controller.
func testCrashPointsOfDeletion(t *testing.T, s *suite) {
	const most = 9 // more than a deletion writes, so that some survive
	var deletions []*deletion
	for n := 1; n <= most; n++ {
		for _, afterwards := range []bool{false, true} {
			virtualCluster := s.virtualCluster(t, fmt.Sprintf("end-%d-%t", n, afterwards), "default")
			mustReconcile(t, s.reconciler(nil), virtualCluster)
			before, after, crashed := crashAt(n, afterwards)
			deletions = append(deletions, &deletion{virtualCluster, s.reconciler(s.writes(before, after)), crashed, false})
			if err := s.client.Delete(t.Context(), virtualCluster); err != nil {
				t.Fatal(err)
			}
		}
	}
	next := s.reconciler(nil)
	eventually(t, "all are gone", func(ctx context.Context) error {
		var errs []error
		for _, d := range deletions {
			errs = append(errs, s.deleteOnce(ctx, d, next))
		}
		return errors.Join(errs...)
	})
	points := 0
	for _, d := range deletions {
		s.wantNothingLeft(t, d.virtualCluster)
		if d.crashed() {
			points++
		}
	}
	if points < 10 || points == len(deletions) {
		t.Errorf("%d of %d processes died: the interception misses writes, or there are too few points", points, len(deletions))
	}
	t.Logf("a deletion was stopped at %d points", points)
}

// deleteOnce makes one pass of a deletion, by the process that is to die as
// long as it lives; the error says what is still to be done.
func (s *suite) deleteOnce(ctx context.Context, d *deletion, next *reconciler.Reconciler) error {
	if d.gone {
		return nil
	}
	by := d.dying
	if d.crashed() {
		by = next
	}
	_, err := by.Reconcile(ctx, request(d.virtualCluster))
	if err != nil && !errors.Is(err, errCrash) {
		return err
	}
	key := client.ObjectKeyFromObject(d.virtualCluster)
	if err := s.client.Get(ctx, key, &tenancyv1alpha1.VirtualCluster{}); !apierrors.IsNotFound(err) {
		return errors.Join(err, fmt.Errorf("%s still exists", key))
	}
	d.gone = true
	return nil
}

// testSameNameAgain: what is created under the name of one that was deleted is
// another tenant, with nothing of the old one's.
func testSameNameAgain(t *testing.T, s *suite) {
	r := s.reconciler(nil)
	first := s.virtualCluster(t, "again", "default")
	mustReconcile(t, r, first)
	old, namespace := s.authorities(t, first), controlPlaneNamespace(first)
	kubeconfig := s.secret(t, userNamespace, "again-kubeconfig").Data[tenancyv1alpha1.KeyKubeconfig]
	network := *s.get(t, first).Status.Network
	s.deleteAndWait(t, r, first)
	s.wantRangeFree(t, r, network.ServiceCIDR)
	second := s.virtualCluster(t, "again", "default")
	mustReconcile(t, r, second)
	s.wantObjects(t, second)
	if controlPlaneNamespace(second) == namespace {
		t.Errorf("the second has the namespace of the first")
	}
	for name, content := range s.authorities(t, second).Data {
		if bytes.Equal(old.Data[name], content) {
			t.Errorf("the second has %s of the first", name)
		}
	}
	if bytes.Equal(kubeconfig, s.secret(t, userNamespace, "again-kubeconfig").Data[tenancyv1alpha1.KeyKubeconfig]) {
		t.Errorf("the kubeconfig of the first leads to the second")
	}
}

// wantSilent: while the syncer still works, the API server is gone and nothing else.
func (s *suite) wantSilent(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	namespace := controlPlaneNamespace(virtualCluster)
	within(t, toldWithin, "the API server is gone", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := s.client.List(ctx, &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		if len(pods.Items) > 0 {
			return fmt.Errorf("pods: %v", namesOf(t, &pods))
		}
		return s.wantGone(ctx, client.ObjectKey{Namespace: namespace, Name: "control-plane"}, &appsv1.StatefulSet{})
	})
	want := slices.DeleteFunc(expectedObjects(virtualCluster.Name), func(name string) bool { return strings.HasPrefix(name, "StatefulSet/") })
	if diff := cmp.Diff(want, s.objectsOf(t, virtualCluster)); diff != "" {
		t.Errorf("objects (-want +got):\n%s", diff)
	}
}

// testRetention: of a class that retains volumes, the claims stay and the key
// of what is in them, in their namespace, and nothing that anybody could use.
func testRetention(t *testing.T, s *suite) {
	keeping := class("keeping", "10.207.0.0/16")
	keeping.Spec.ControlPlane.Storage.Retention = tenancyv1alpha1.RetentionRetain
	s.create(t, keeping)
	virtualCluster := s.virtualCluster(t, "kept", "keeping")
	r := s.reconciler(nil)
	mustReconcile(t, r, virtualCluster)
	namespace := controlPlaneNamespace(virtualCluster)
	spec := component.Spec{TenantID: virtualCluster.UID, VirtualCluster: client.ObjectKeyFromObject(virtualCluster)}
	for _, name := range []string{component.SecretEncryption, "forgotten"} {
		secret := spec.SyncerKubeconfig(nil)
		secret.Name = name
		if err := s.client.Create(t.Context(), secret); client.IgnoreAlreadyExists(err) != nil {
			t.Fatal(err)
		}
	}
	claims := func() (names []string) {
		var list corev1.PersistentVolumeClaimList
		if err := s.client.List(t.Context(), &list, client.InNamespace(namespace)); err != nil {
			t.Fatal(err)
		}
		return namesOf(t, &list)
	}
	eventually(t, "the claim exists", func(context.Context) error {
		if len(claims()) != 1 {
			return fmt.Errorf("claims: %v", claims())
		}
		return nil
	})
	// The class may be gone by then.
	if err := s.client.Delete(t.Context(), keeping); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Delete(t.Context(), virtualCluster); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the virtual cluster is gone", func(ctx context.Context) error {
		if _, err := r.Reconcile(ctx, request(virtualCluster)); err != nil {
			return err
		}
		return s.wantGone(ctx, client.ObjectKeyFromObject(virtualCluster), &tenancyv1alpha1.VirtualCluster{})
	})
	want := []string{"ConfigMap/kube-root-ca.crt", "Namespace/<namespace>", "Secret/" + component.SecretEncryption}
	if diff := cmp.Diff(want, s.objectsOf(t, virtualCluster)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if len(claims()) != 1 {
		t.Errorf("claims: %v", claims())
	}
	// The next of that name has nothing of it.
	again := s.virtualCluster(t, "kept", "default")
	mustReconcile(t, r, again)
	if controlPlaneNamespace(again) == namespace {
		t.Error("the next of that name has the namespace that was kept")
	}
	s.deleteAndWait(t, r, again)
}

// wantRangeFree: what a deleted one held is given to the next, the lowest that is free.
func (s *suite) wantRangeFree(t *testing.T, r *reconciler.Reconciler, slice string) {
	t.Helper()
	next := s.virtualCluster(t, "next", "default")
	mustReconcile(t, r, next)
	got := s.get(t, next).Status.Network.ServiceCIDR
	if netip.MustParsePrefix(got).Addr().Compare(netip.MustParsePrefix(slice).Addr()) > 0 {
		t.Errorf("the next got %s, although %s is free", got, slice)
	}
	s.deleteAndWait(t, r, next)
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
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
	s.deleteAndWait(t, r, first)
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

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// TestDeletionBrake: what a tenant's people delete goes, however much and
// whether or not the syncer runs; what vanishes with the tenant's database stays.
func TestDeletionBrake(t *testing.T) {
	e := newEnvironment(t)
	tn := e.addTenant(t, "blue", "10.112.0.0/22")
	stop := e.startSyncer(t)
	e.waitSynced(t, tn)
	const services = 40
	makeServices(t, e, tn, services)

	t.Run("deleted while the syncer is down", func(t *testing.T) {
		stop()
		for i := range services - 4 {
			must(t, tn.client.Delete(t.Context(), service(i)))
		}
		started := time.Now()
		stop = e.startSyncer(t)
		eventually(t, "the super services gone", func(ctx context.Context) error { return e.countServices(ctx, tn, 4) })
		t.Logf("gone after %s", time.Since(started))
		consistently(t, "the others stay", time.Second, func(ctx context.Context) error { return e.countServices(ctx, tn, 4) })
	})
	t.Run("another cluster behind the kubeconfig", func(t *testing.T) {
		stop()
		before := e.stamped(t, tn)
		other := controlplanetest.Start(t, controlplanetest.Options{ServiceCIDR: "10.112.0.0/22"})
		e.repoint(t, tn, other)
		stop = e.startSyncer(t)
		since := e.waitHeld(t, tn, tenancyv1alpha1.ReasonTenantReplaced)
		consistently(t, "nothing is deleted", 5*time.Second, func(context.Context) error {
			after := e.stamped(t, tn)
			for object := range before {
				if after[object] == "" {
					return fmt.Errorf("%s is gone", object)
				}
			}
			return nil
		})
		otherClient := newClient(t, e, other)
		must(t, otherClient.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "fresh"}}))
		eventually(t, "what is new is synced", func(ctx context.Context) error {
			return e.superClient.Get(ctx, client.ObjectKey{Name: tn.names.Namespace("fresh")}, &corev1.Namespace{})
		})
		annotation := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, tenancyv1alpha1.AnnotationAllowDeletions, since)
		must(t, e.superClient.Patch(t.Context(), tn.vc, client.RawPatch("application/merge-patch+json", annotation)))
		eventually(t, "the super services gone", func(ctx context.Context) error { return e.countServices(ctx, tn, 0) })
	})
	stop()
}

func service(i int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("many-%d", i)},
		Spec:       corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: map[string]string{"app": "many"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

func makeServices(t *testing.T, e *environment, tn *tenant, n int) {
	t.Helper()
	for i := range n {
		must(t, tn.client.Create(t.Context(), service(i)))
	}
	eventually(t, "the super services", func(ctx context.Context) error { return e.countServices(ctx, tn, n) })
}

// countServices checks how many of the test's services the super cluster holds.
func (e *environment) countServices(ctx context.Context, tn *tenant, want int) error {
	var services corev1.ServiceList
	if err := e.superClient.List(ctx, &services, client.InNamespace(tn.names.Namespace("default"))); err != nil {
		return err
	}
	got := 0
	for _, superService := range services.Items {
		if superService.Name != "kubernetes" {
			got++
		}
	}
	if got != want {
		return fmt.Errorf("%d services, want %d", got, want)
	}
	return nil
}

// repoint lets the tenant's kubeconfig lead to another control plane.
func (e *environment) repoint(t *testing.T, tn *tenant, to *controlplanetest.Instance) {
	t.Helper()
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: tn.names.ControlPlaneNamespace(), Name: tenancyv1alpha1.SecretSyncerKubeconfig}
	must(t, e.superClient.Get(t.Context(), key, &secret))
	before := secret.DeepCopy()
	secret.Data[tenancyv1alpha1.KeyKubeconfig] = bytes.Clone(to.Kubeconfig)
	must(t, e.superClient.Patch(t.Context(), &secret, client.MergeFrom(before)))
}

// waitHeld waits until the VirtualCluster says that deletions are held, and
// returns since when.
func (e *environment) waitHeld(t *testing.T, tn *tenant, reason string) (since string) {
	t.Helper()
	eventually(t, "the condition", func(ctx context.Context) error {
		var vc tenancyv1alpha1.VirtualCluster
		if err := e.superClient.Get(ctx, client.ObjectKeyFromObject(tn.vc), &vc); err != nil {
			return err
		}
		condition := meta.FindStatusCondition(vc.Status.Conditions, tenancyv1alpha1.ConditionDeletionsSynced)
		if condition == nil || condition.Status != metav1.ConditionFalse || condition.Reason != reason {
			return fmt.Errorf("condition %+v", condition)
		}
		since = condition.LastTransitionTime.UTC().Format(time.RFC3339)
		return nil
	})
	return since
}

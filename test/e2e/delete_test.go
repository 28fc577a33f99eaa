// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// goneWithin is what the project promises for the deletion of a virtual cluster.
const goneWithin = 60 * time.Second

// TestDeleteLeavesNothing deletes a virtual cluster in use and looks for
// anything of it in the whole super cluster.
func TestDeleteLeavesNothing(t *testing.T) {
	tn := newTenant(t, "gone")
	tn.kubectl(t, "create", "deployment", "web", "--replicas=2", "--image="+imageAgnhost, "--", "/agnhost", "netexec")
	tn.kubectl(t, "expose", "deployment", "web", "--port=80")
	tn.kubectl(t, "create", "secret", "generic", "settings", "--from-literal=a=b")
	tn.kubectl(t, "rollout", "status", "deployment/web", "--timeout=60s")
	if err := nothingOf(t.Context(), tn); err == nil {
		t.Fatal("the check finds nothing of a virtual cluster that is there: it can find nothing at all")
	}

	started := time.Now()
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "delete", "vc", "gone", "--wait=false")
	wantDead(t, tn, started)
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "wait", "vc", "gone", "--for=delete", "--timeout=90s")
	t.Logf("deleted after %.1f s", time.Since(started).Seconds())
	if err := nothingOf(t.Context(), tn); err != nil {
		t.Errorf("the VirtualCluster is gone, but: %v", err)
	}
	if took := time.Since(started); took > goneWithin {
		t.Errorf("deletion took %s, promised within %s", took, goneWithin)
	}
	// A volume is removed by its provisioner after its claim is gone.
	eventually(t, goneWithin, "the volume", func(ctx context.Context) error { return noVolumeOf(ctx, tn) })
}

// deadWithin is how long the credentials of a virtual cluster may be good for
// anything after it was deleted.
const deadWithin = 10 * time.Second

// wantDead waits until the administrator's kubeconfig leads to nothing any more.
func wantDead(t *testing.T, tn *tenant, deleted time.Time) {
	t.Helper()
	config := rest.CopyConfig(tn.config)
	config.Timeout = time.Second
	admin, err := newClient(config)
	if err != nil {
		t.Fatal(err)
	}
	lastAlive := deleted
	for refused := 0; refused < 5; {
		if time.Since(deleted) > goneWithin {
			t.Fatalf("the kubeconfig still works after %s", goneWithin)
		}
		if err := admin.Get(t.Context(), client.ObjectKey{Name: "default"}, &corev1.Namespace{}); err == nil {
			lastAlive, refused = time.Now(), 0
		} else {
			refused++
		}
		pause(t)
	}
	t.Logf("the kubeconfig was good for %.1f s after the delete", lastAlive.Sub(deleted).Seconds())
	if took := lastAlive.Sub(deleted); took > deadWithin {
		t.Errorf("the kubeconfig was good for %s, promised at most %s", took, deadWithin)
	}
}

// pause waits a little between two requests.
func pause(t *testing.T) {
	t.Helper()
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// nothingOf returns nil if the super cluster has nothing of the tenant.
func nothingOf(ctx context.Context, tn *tenant) error {
	labelled := client.MatchingLabels{tenancyv1alpha1.LabelTenantID: string(tn.object.UID)}
	for _, list := range []client.ObjectList{
		&corev1.NamespaceList{}, &corev1.PodList{}, &corev1.ServiceList{}, &corev1.SecretList{},
		&corev1.ConfigMapList{}, &corev1.PersistentVolumeClaimList{}, &appsv1.StatefulSetList{},
	} {
		if err := superClient.List(ctx, list, labelled); err != nil {
			return err
		}
		if n := meta.LenList(list); n > 0 {
			return fmt.Errorf("%d left of %T", n, list)
		}
	}
	for _, key := range []client.ObjectKey{
		{Name: tn.names().ControlPlaneNamespace()}, {Name: tn.names().Namespace("default")}, {Name: tn.names().Namespace("kube-system")},
	} {
		if err := gone(ctx, key, &corev1.Namespace{}); err != nil {
			return err
		}
	}
	kubeconfig := client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: tn.name + tenancyv1alpha1.KubeconfigSecretSuffix}
	return gone(ctx, kubeconfig, &corev1.Secret{})
}

// gone returns nil if the super cluster does not have the object.
func gone(ctx context.Context, key client.ObjectKey, object client.Object) error {
	err := superClient.Get(ctx, key, object)
	if err == nil {
		return fmt.Errorf("the super cluster has the %T %s", object, key)
	}
	return client.IgnoreNotFound(err)
}

func noVolumeOf(ctx context.Context, tn *tenant) error {
	volumes := &corev1.PersistentVolumeList{}
	if err := superClient.List(ctx, volumes); err != nil {
		return err
	}
	for _, volume := range volumes.Items {
		if claim := volume.Spec.ClaimRef; claim != nil && claim.Namespace == tn.names().ControlPlaneNamespace() {
			return fmt.Errorf("volume %s (%s)", volume.Name, volume.Status.Phase)
		}
	}
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

func mergePatch(content string) client.Patch {
	return client.RawPatch(types.MergePatchType, []byte(content))
}

func superConfigMap(tn *tenant, namespace, name string) types.NamespacedName {
	return types.NamespacedName{Namespace: tn.names.Namespace(namespace), Name: names.ConfigMap(name)}
}

// backUp stops a control plane, copies its database and starts it again.
func backUp(t *testing.T, instance *controlplanetest.Instance) (copied string) {
	t.Helper()
	copied = t.TempDir() + "/backup"
	instance.Stop(t)
	must(t, os.CopyFS(copied, os.DirFS(instance.DataDir()+"/etcd")))
	instance.Restart(t)
	return copied
}

// restore puts a copy of the database back.
func restore(t *testing.T, instance *controlplanetest.Instance, copied string) {
	t.Helper()
	instance.Stop(t)
	must(t, os.RemoveAll(instance.DataDir()+"/etcd"))
	must(t, os.CopyFS(instance.DataDir()+"/etcd", os.DirFS(copied)))
	must(t, os.Chmod(instance.DataDir()+"/etcd", 0o700)) //nolint:gosec // as etcd demands.
	instance.Restart(t)
}

// testTenantRestored (F14): a tenant's database is put back to an old backup,
// so that objects that run in the super cluster have vanished from the tenant.
// None of their twins is deleted; the VirtualCluster says why within 60 s; what
// the tenant does next is still synced; and the twins go when an operator
// allows it.
func testTenantRestored(t *testing.T, w *faultWorld) {
	const told = time.Minute
	w.inOrder(t)
	backup := backUp(t, w.blue.Instance)
	w.blue.namespace(t, "after-the-backup")
	for i := range 5 {
		name := fmt.Sprintf("lost-%d", i)
		w.blue.makeWorkload(t, "after-the-backup", name)
		w.blue.waitRunning(t, "after-the-backup", name)
	}
	w.inOrder(t)
	before := w.stamped(t, w.blue)
	restore(t, w.blue.Instance, backup)
	took := w.hasReason(t, told, w.blue, tenancyv1alpha1.ConditionDeletionsSynced, tenancyv1alpha1.ReasonTenantWentBack)
	w.serves(t, settle, w.blue, "after-the-restore")
	consistently(t, "nothing is deleted", 5*time.Second, func(context.Context) error {
		after := w.stamped(t, w.blue)
		for object := range before {
			if after[object] == "" {
				return fmt.Errorf("%s is gone", object)
			}
		}
		return nil
	})
	condition, err := w.condition(t.Context(), w.blue, tenancyv1alpha1.ConditionDeletionsSynced)
	must(t, err)
	allowed := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, tenancyv1alpha1.AnnotationAllowDeletions, condition.LastTransitionTime.UTC().Format(time.RFC3339))
	must(t, w.superClient.Patch(t.Context(), w.blue.vc.DeepCopy(), mergePatch(allowed)))
	ended := w.inOrderWithin(t, time.Minute)
	t.Logf("told after %s: %s; in order %s after it was allowed", took.Round(time.Millisecond), condition.Message, ended.Round(time.Millisecond))
}

// testSuperRestored (F15): the super cluster's database is put back to an old
// backup. What it has lost is made again, and what it has got back goes, within
// 60 s; no object of one tenant stands for another's; a pod whose super pod is
// lost ends, because it ran. The syncer notices and starts anew.
func testSuperRestored(t *testing.T, w *faultWorld) {
	const limit = time.Minute
	w.green.namespace(t, "super-backup")
	w.green.makeWorkload(t, "super-backup", "back")
	w.green.waitRunning(t, "super-backup", "back")
	w.inOrder(t)
	backup := backUp(t, w.super)
	w.inOrder(t)
	must(t, w.green.client.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "super-backup", Name: "back"}}))
	must(t, w.green.client.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "super-backup", Name: "back"}}))
	lost := w.green.makeWorkload(t, "super-backup", "lost")
	w.green.waitRunning(t, "super-backup", "lost")
	w.inOrder(t)
	restore(t, w.super, backup)
	began := time.Now()
	select {
	case <-w.syncer.process.Exited(): // its caches are of no use: a kubelet starts it again
		w.syncer.start(t)
	case <-time.After(limit):
		t.Fatal("the syncer goes on with caches of a past that is gone")
	}
	w.inOrderWithin(t, limit-time.Since(began))
	took := time.Since(began)
	if err := gone(t.Context(), w.green.client, lost); err != nil {
		t.Errorf("the pod whose super pod is lost: %v", err)
	}
	var services corev1.ServiceList
	must(t, w.superClient.List(t.Context(), &services, client.MatchingLabelsSelector{Selector: identity.Selector()}))
	for _, service := range services.Items {
		owner, _ := identity.Of(&service)
		for _, tn := range w.tenants() {
			if (owner.TenantID == tn.names.ID) != (service.Namespace == tn.names.Namespace(owner.Namespace)) {
				t.Errorf("%s/%s stands for %+v", service.Namespace, service.Name, owner)
			}
		}
	}
	t.Logf("in order %s after the restore", took.Round(time.Millisecond))
}

// testSameName (F20, F21): a VirtualCluster is deleted while its tenant creates
// pods, and one of its name is made at once. 120 s later nothing of the first
// is left, and the second has all of its own in other namespaces.
func testSameName(t *testing.T, w *faultWorld) {
	const limit = 2 * time.Minute
	rounds := 2
	if full() {
		rounds = 10
	}
	tn := w.addTenant(t, "reborn", "10.112.40.0/22")
	tn.waitServiceAccount(t, "default")
	w.waitSynced(t, tn)
	var slowest time.Duration
	pace := flowcontrol.NewTokenBucketRateLimiter(20, 1)
	for round := range rounds {
		stop := make(chan struct{})
		created := make(chan int)
		go func() {
			n := 0
			for ; ; n++ {
				select {
				case <-stop:
					created <- n
					return
				default:
				}
				if err := errors.Join(pace.Wait(t.Context()), tn.client.Create(t.Context(), makePod("default", fmt.Sprintf("round-%d-%d", round, n)))); err != nil {
					t.Errorf("creating a pod: %v", err)
				}
			}
		}()
		within(t, settle, "the first pod", func(ctx context.Context) error {
			return w.superClient.Get(ctx, tn.superKey("default", fmt.Sprintf("round-%d-0", round)), &corev1.Pod{})
		})
		old, oldNamespaces := tn.vc.DeepCopy(), w.superNamespaces(t, tn)
		must(t, w.superClient.Delete(t.Context(), old))
		took := within(t, limit, "the virtual cluster gone", func(ctx context.Context) error { return gone(ctx, w.superClient, old.DeepCopy()) })
		slowest = max(slowest, took)
		left := w.stamped(t, &tenant{names: names.Tenant{ID: string(old.UID)}})
		if len(left) > 0 {
			t.Errorf("left of the old one: %v", left)
		}
		w.reborn(t, tn)
		close(stop)
		pods := <-created
		w.waitSynced(t, tn)
		within(t, limit, "the new one's pods", func(ctx context.Context) error { return w.countPods(ctx, tn) })
		if left := w.stamped(t, &tenant{names: names.Tenant{ID: string(old.UID)}}); len(left) > 0 {
			t.Errorf("the old one came back: %v", left)
		}
		if namespaces := w.superNamespaces(t, tn); namespaces.Len() == 0 || namespaces.HasAny(oldNamespaces.UnsortedList()...) {
			t.Errorf("the new one has namespaces %v, the old one had %v", namespaces, oldNamespaces)
		}
		t.Logf("round %d: gone after %s while %d pods were created", round, took.Round(time.Millisecond), pods)
		must(t, tn.client.DeleteAllOf(t.Context(), &corev1.Pod{}, client.InNamespace("default"), client.GracePeriodSeconds(0)))
	}
	must(t, w.superClient.Delete(t.Context(), tn.vc))
	within(t, limit, "the virtual cluster gone", func(ctx context.Context) error { return gone(ctx, w.superClient, tn.vc.DeepCopy()) })
	w.node.forgetRuns() // the tenant's pods were several clusters'
	t.Logf("%d rounds, the slowest end took %s", rounds, slowest.Round(time.Millisecond))
}

// reborn makes a VirtualCluster of the same name for the same control plane.
func (w *faultWorld) reborn(t *testing.T, tn *tenant) {
	t.Helper()
	network := tn.vc.Status.Network.ServiceCIDR
	old := tn.vc.UID
	tn.vc = &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: tn.vc.Namespace, Name: tn.vc.Name}}
	must(t, w.superClient.Create(t.Context(), tn.vc))
	tn.names = names.Tenant{ID: string(tn.vc.UID), Name: tn.vc.Name}
	if tn.vc.UID == old || meta.IsStatusConditionTrue(tn.vc.Status.Conditions, tenancyv1alpha1.ConditionSyncerReady) {
		t.Errorf("it is not a new one: %+v", tn.vc)
	}
	w.publish(t, tn, tn.gate.kubeconfig(t, tn.line.address()), network)
}

// superNamespaces returns the names of the tenant's super namespaces.
func (w *faultWorld) superNamespaces(t *testing.T, tn *tenant) sets.Set[string] {
	t.Helper()
	var namespaces corev1.NamespaceList
	must(t, w.superClient.List(t.Context(), &namespaces, client.MatchingLabelsSelector{Selector: identity.TenantSelector(tn.names.ID)}))
	found := sets.New[string]()
	for i := range namespaces.Items {
		found.Insert(namespaces.Items[i].Name)
	}
	return found
}

// countPods checks that every pod of the tenant has one super pod, and none is left over.
func (w *faultWorld) countPods(ctx context.Context, tn *tenant) error {
	var tenantPods, superPods corev1.PodList
	if err := errors.Join(
		tn.client.List(ctx, &tenantPods, client.InNamespace("default")),
		w.superClient.List(ctx, &superPods, client.MatchingLabelsSelector{Selector: identity.TenantSelector(tn.names.ID)})); err != nil {
		return err
	}
	wanted, there := map[types.UID]int{}, map[types.UID]int{}
	for i := range tenantPods.Items {
		wanted[tenantPods.Items[i].UID]++
	}
	for i := range superPods.Items {
		owner, _ := identity.Of(&superPods.Items[i])
		there[owner.UID]++
	}
	if !maps.Equal(wanted, there) {
		return fmt.Errorf("%d pods in the tenant, %d in the super cluster, or others", len(tenantPods.Items), len(superPods.Items))
	}
	return nil
}

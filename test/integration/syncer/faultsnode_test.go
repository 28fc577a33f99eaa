// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// testSilentNode (F27): the heartbeat of a tenant's virtual node stalls, its
// Lease is an hour old, its Ready condition Unknown, and it bears the taints of
// a lost node. Its pods are fine, even those that tolerate that for no time: for
// 15 s nothing of the tenant ends or is written in the super cluster, and a new
// pod runs within 30 s.
func testSilentNode(t *testing.T, w *faultWorld) {
	const stands, pods = 15 * time.Second, 3
	w.green.namespace(t, "silent")
	impatient := func(name string) *corev1.Pod {
		pod, none := makePod("silent", name), int64(0)
		for _, key := range []string{corev1.TaintNodeUnreachable, corev1.TaintNodeNotReady} {
			pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
				Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &none,
			})
		}
		return pod
	}
	for i := range pods {
		must(t, w.green.client.Create(t.Context(), impatient(fmt.Sprintf("before-%d", i))))
	}
	for i := range pods {
		w.green.waitRunning(t, "silent", fmt.Sprintf("before-%d", i))
	}
	w.inOrder(t)
	before := w.stamped(t, w.green)
	heal := w.green.silenceNode(t)
	consistently(t, "every pod stays", stands, func(ctx context.Context) error {
		var found corev1.PodList
		if err := w.green.client.List(ctx, &found, client.InNamespace("silent")); err != nil {
			return err
		}
		errs := []error{}
		for i := range found.Items {
			if pod := &found.Items[i]; pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
				errs = append(errs, fmt.Errorf("%s is %s, ending since %v", pod.Name, pod.Status.Phase, pod.DeletionTimestamp))
			}
		}
		if len(found.Items) != pods {
			errs = append(errs, fmt.Errorf("%d pods", len(found.Items)))
		}
		return errors.Join(errs...)
	})
	if diff := cmpVersions(before, w.stamped(t, w.green)); diff != "" {
		t.Errorf("something was written in the super cluster:\n%s", diff)
	}
	pod := impatient("meanwhile")
	must(t, w.green.client.Create(t.Context(), pod))
	took := within(t, settle, "a new pod running", func(ctx context.Context) error { return running(ctx, w.green, pod) })
	t.Logf("a silent node for %s: 0 of %d pods ended, 0 super objects written; a new pod ran after %s", stands, pods, took.Round(time.Millisecond))
	heal()
}

// silenceNode makes the tenant's virtual node look as one that is not heard of
// any more. It returns what takes that back.
func (tn *tenant) silenceNode(t *testing.T) (heal func()) {
	t.Helper()
	hourAgo := metav1.NewMicroTime(time.Now().Add(-time.Hour))
	holder, seconds := tenancyv1alpha1.VirtualNodeName, int32(40)
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: holder},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &hourAgo},
	}
	must(t, tn.client.Create(t.Context(), lease))
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName}}
	must(t, tn.client.Status().Patch(t.Context(), node, mergePatch(fmt.Sprintf(
		`{"status":{"conditions":[{"type":"Ready","status":"Unknown","reason":"NodeStatusUnknown","lastHeartbeatTime":%q}]}}`, hourAgo.UTC().Format(time.RFC3339)))))
	must(t, tn.client.Patch(t.Context(), node, mergePatch(`{"spec":{"taints":[
		{"key":"node.kubernetes.io/unreachable","effect":"NoExecute"},{"key":"node.kubernetes.io/unreachable","effect":"NoSchedule"},
		{"key":"node.kubernetes.io/not-ready","effect":"NoExecute"}]}}`)))
	return func() {
		must(t, tn.client.Patch(t.Context(), node, mergePatch(`{"spec":{"taints":null}}`)))
		must(t, tn.client.Status().Patch(t.Context(), node, mergePatch(`{"status":{"conditions":null}}`)))
		must(t, tn.client.Delete(t.Context(), lease))
	}
}

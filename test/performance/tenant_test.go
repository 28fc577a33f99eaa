// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// tenant is a virtual cluster whose control plane this process runs.
type tenant struct {
	instance *controlplanetest.Instance
	vc       *tenancyv1alpha1.VirtualCluster
	names    names.Tenant
	client   *kubernetes.Clientset
}

// addTenants starts control planes and gives them to the syncer, as vc-manager does.
func (w *world) addTenants(b *testing.B, n int) {
	b.Helper()
	for range n {
		i := len(w.tenants)
		serviceCIDR := serviceSlice(i)
		instance := controlplanetest.Start(b, controlplanetest.Options{ServiceCIDR: serviceCIDR})
		tn := &tenant{instance: instance, client: clientset(b, instance.Config)}
		node := &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName},
			Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.10"}}},
		}
		_, err := tn.client.CoreV1().Nodes().Create(b.Context(), node, metav1.CreateOptions{})
		must(b, err)
		tn.vc, err = w.publish(b.Context(), fmt.Sprintf("tenant-%d", i), instance.Kubeconfig, serviceCIDR)
		must(b, err)
		tn.names = names.Tenant{ID: string(tn.vc.UID), Name: tn.vc.Name}
		w.tenants = append(w.tenants, tn)
	}
}

// publish makes a VirtualCluster look as vc-manager leaves it.
func (w *world) publish(ctx context.Context, name string, kubeconfig []byte, serviceCIDR string) (*tenancyv1alpha1.VirtualCluster, error) {
	vc := &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if err := w.superClient.Create(ctx, vc); err != nil {
		return nil, err
	}
	namespace := names.Tenant{ID: string(vc.UID), Name: name}.ControlPlaneNamespace()
	if err := w.superClient.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}); err != nil {
		return nil, err
	}
	if err := w.superClient.Create(ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: tenancyv1alpha1.SecretSyncerKubeconfig},
		Data:       map[string][]byte{tenancyv1alpha1.KeyKubeconfig: kubeconfig},
	}); err != nil {
		return nil, err
	}
	before := vc.DeepCopy()
	vc.Status.ControlPlane = &tenancyv1alpha1.ControlPlaneStatus{Namespace: namespace, Addresses: []string{"192.0.2.1"}}
	vc.Status.Network = &tenancyv1alpha1.NetworkStatus{ServiceCIDR: serviceCIDR}
	meta.SetStatusCondition(&vc.Status.Conditions, metav1.Condition{
		Type: tenancyv1alpha1.ConditionControlPlaneReady, Status: metav1.ConditionTrue, Reason: tenancyv1alpha1.ReasonReady,
	})
	return vc, w.superClient.Status().Patch(ctx, vc, client.MergeFrom(before))
}

// waitSynced waits until the syncer serves all tenants.
func (w *world) waitSynced(b *testing.B) {
	b.Helper()
	untilEvery(b, scrapeInterval, "the tenants are synced", func(ctx context.Context) error {
		synced, err := w.syncer.metric(ctx, "virtualcluster_syncer_tenants_synced")
		if err == nil && int(synced) != w.tenantCount() {
			err = fmt.Errorf("%v of %d", synced, w.tenantCount())
		}
		return err
	})
}

// clientset speaks protobuf, without a limit of its own.
func clientset(b *testing.B, config *rest.Config) *kubernetes.Clientset {
	b.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	c, err := kubernetes.NewForConfig(config)
	must(b, err)
	return c
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
)

func makePod(namespace, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "registry.k8s.io/pause:3.10.1",
		}}},
	}
}

// waitServiceAccount waits until the tenant's controllers have made the
// namespace fit for pods.
func (tn *tenant) waitServiceAccount(t *testing.T, namespace string) {
	t.Helper()
	eventually(t, "service account of "+namespace, func(ctx context.Context) error {
		return tn.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: "default"}, &corev1.ServiceAccount{})
	})
}

func (tn *tenant) waitRunning(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	var tenantPod corev1.Pod
	eventually(t, "pod "+namespace+"/"+name+" of "+tn.vc.Name+" running", func(ctx context.Context) error {
		if err := tn.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &tenantPod); err != nil {
			return err
		}
		if tenantPod.Status.Phase != corev1.PodRunning {
			return fmt.Errorf("phase %s on node %q", tenantPod.Status.Phase, tenantPod.Spec.NodeName)
		}
		return nil
	})
	return &tenantPod
}

// testSameNames: two tenants run pods of one name, each with its own identity.
func testSameNames(t *testing.T, e *environment, tenants []*tenant) {
	seen := map[types.NamespacedName]bool{}
	for _, tn := range tenants {
		must(t, tn.client.Create(t.Context(), makePod("default", "web")))
	}
	for _, tn := range tenants {
		tenantPod := tn.waitRunning(t, "default", "web")
		if tenantPod.Spec.NodeName != tenancyv1alpha1.VirtualNodeName || tenantPod.Status.HostIP != nodeAddress {
			t.Errorf("the tenant sees node %q at %q", tenantPod.Spec.NodeName, tenantPod.Status.HostIP)
		}
		var superPod corev1.Pod
		key := tn.superKey("default", "web")
		must(t, e.superClient.Get(t.Context(), key, &superPod))
		if seen[key] {
			t.Errorf("both tenants use %s", key)
		}
		seen[key] = true
		owner, ok := identity.Of(&superPod)
		if want := (identity.Owner{TenantID: tn.names.ID, Namespace: "default", Name: "web", UID: tenantPod.UID}); !ok || owner != want {
			t.Errorf("stamp %+v, want %+v", owner, want)
		}
		if *superPod.Spec.RuntimeClassName != "gvisor" || *superPod.Spec.AutomountServiceAccountToken {
			t.Errorf("sandbox %q, super token %v", *superPod.Spec.RuntimeClassName, *superPod.Spec.AutomountServiceAccountToken)
		}
		eventually(t, "the pod's token", func(ctx context.Context) error {
			var secret corev1.Secret
			key := types.NamespacedName{Namespace: superPod.Namespace, Name: names.PodSecret(string(tenantPod.UID))}
			if err := e.superClient.Get(ctx, key, &secret); err != nil {
				return err
			}
			if len(secret.Data) == 0 || secret.OwnerReferences[0].UID != superPod.UID {
				return fmt.Errorf("keys %d, owners %+v", len(secret.Data), secret.OwnerReferences)
			}
			return nil
		})
		eventually(t, "the tenant's root CA", func(ctx context.Context) error {
			return e.superClient.Get(ctx, types.NamespacedName{Namespace: superPod.Namespace, Name: names.ConfigMap("kube-root-ca.crt")}, &corev1.ConfigMap{})
		})
		var service corev1.Service
		eventually(t, "default/kubernetes", func(ctx context.Context) error {
			return e.superClient.Get(ctx, tn.superKey("default", "kubernetes"), &service)
		})
		var tenantService corev1.Service
		must(t, tn.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "kubernetes"}, &tenantService))
		if service.Spec.ClusterIP != tenantService.Spec.ClusterIP {
			t.Errorf("cluster IP %s in super, %s in the tenant", service.Spec.ClusterIP, tenantService.Spec.ClusterIP)
		}
	}
}

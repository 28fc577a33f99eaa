// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestTwoTenantsOfTheSameNames: the same namespace, pod and Service in two
// tenants are two worlds.
func TestTwoTenantsOfTheSameNames(t *testing.T) {
	tenants := []*tenant{newTenant(t, "twin-a"), newTenant(t, "twin-b")}
	addresses := map[string]string{}
	for _, tn := range tenants {
		makeTwin(t, tn)
	}
	for _, tn := range tenants {
		pod := tn.waitRunning(t, "team", "web")
		service := &corev1.Service{}
		if err := tn.client.Get(t.Context(), client.ObjectKey{Namespace: "team", Name: "web"}, service); err != nil {
			t.Fatal(err)
		}
		superService := &corev1.Service{}
		eventually(t, 10*time.Second, "the super Service", func(ctx context.Context) error {
			return superClient.Get(ctx, tn.superKey("team", "web"), superService)
		})
		if service.Spec.ClusterIP != superService.Spec.ClusterIP {
			t.Errorf("%s: the ClusterIP is %s in the tenant and %s in the super cluster", tn.name, service.Spec.ClusterIP, superService.Spec.ClusterIP)
		}
		slice := netip.MustParsePrefix(tn.object.Status.Network.ServiceCIDR)
		if !slice.Contains(netip.MustParseAddr(service.Spec.ClusterIP)) {
			t.Errorf("%s: the ClusterIP %s is outside of the tenant's slice %s", tn.name, service.Spec.ClusterIP, slice)
		}
		if other, taken := addresses[service.Spec.ClusterIP]; taken {
			t.Errorf("%s and %s share the ClusterIP %s", tn.name, other, service.Spec.ClusterIP)
		}
		addresses[service.Spec.ClusterIP] = tn.name

		// Through the Service, from a pod, each tenant reaches its own pod, once
		// that listens and the node knows the way.
		var answer string
		eventually(t, 20*time.Second, "an answer of the Service", func(ctx context.Context) (err error) {
			answer, _, err = try(ctx, nil, "kubectl", "--kubeconfig", tn.kubeconfig, "exec", "-n", "team", pod.Name, "--",
				"wget", "-qO-", fmt.Sprintf("http://%s/shell?cmd=echo%%20%%24TENANT", service.Spec.ClusterIP))
			return err
		})
		if want := fmt.Sprintf(`{"output":"%s\n"}`, tn.name); answer != want {
			t.Errorf("%s: its Service answers %s, want %s", tn.name, answer, want)
		}
	}
	for _, tn := range tenants {
		pods := &corev1.PodList{}
		if err := tn.client.List(t.Context(), pods); err != nil {
			t.Fatal(err)
		}
		// The platform's add-ons, in kube-system, are the tenant's own, too.
		others := slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool { return pod.Namespace == metav1.NamespaceSystem })
		if len(others) != 1 {
			t.Errorf("%s sees %d pods outside of kube-system, want its own one", tn.name, len(others))
		}
		namespaces := &corev1.NamespaceList{}
		if err := tn.client.List(t.Context(), namespaces); err != nil {
			t.Fatal(err)
		}
		if len(namespaces.Items) != 5 { // Kubernetes' four, and team.
			t.Errorf("%s sees %d namespaces, want 5", tn.name, len(namespaces.Items))
		}
	}
	if a, b := tenants[0].superKey("team", "web"), tenants[1].superKey("team", "web"); a == b {
		t.Errorf("both tenants' pods are %s in the super cluster", a)
	}
}

func makeTwin(t *testing.T, tn *tenant) {
	t.Helper()
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}},
		newPod("team", "web", func(pod *corev1.Pod) {
			pod.Spec.Containers[0].Env = []corev1.EnvVar{{Name: "TENANT", Value: tn.name}}
		}),
		&corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "web"},
			Spec: corev1.ServiceSpec{
				Selector: map[string]string{"app": "web"},
				Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
			},
		},
	}
	for _, object := range objects {
		// The service account of a new namespace takes a moment.
		eventually(t, 20*time.Second, "creating "+object.GetName(), func(ctx context.Context) error {
			return tn.client.Create(ctx, object)
		})
	}
}

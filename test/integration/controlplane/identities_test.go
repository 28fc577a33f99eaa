// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"net/http"
	"slices"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// testIdentities runs a tenant's control plane on the files that vc-manager
// made for it, and goes in with each of the kubeconfigs.
func testIdentities(t *testing.T, s *suite) {
	virtualCluster := s.virtualCluster(t, "identities", "default")
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	namespace := controlPlaneNamespace(virtualCluster)
	tenant := controlplanetest.Start(t, controlplanetest.Options{
		Files:       s.secret(t, namespace, component.SecretPKI).Data,
		ServiceCIDR: s.get(t, virtualCluster).Status.Network.ServiceCIDR,
	})
	clientOf := func(namespace, secret string) kubernetes.Interface {
		t.Helper()
		config, err := clientcmd.RESTConfigFromKubeConfig(s.secret(t, namespace, secret).Data[tenancyv1alpha1.KeyKubeconfig])
		if err != nil {
			t.Fatal(err)
		}
		// The ClusterIP leads nowhere here; loopback is in the certificate, too.
		config.Host = tenant.Config.Host
		tenantClient, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		return tenantClient
	}
	agent := clientOf(namespace, tenancyv1alpha1.SecretAgentKubeconfig)
	cases := map[string]struct {
		client      kubernetes.Interface
		user, group string
	}{
		"syncer": {clientOf(namespace, tenancyv1alpha1.SecretSyncerKubeconfig), "virtualcluster:syncer", "system:masters"},
		"agent":  {agent, "system:node:virtual-node-0", "system:nodes"},
		"user":   {clientOf(userNamespace, "identities-kubeconfig"), "identities-admin", "system:masters"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			review, err := tc.client.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got := review.Status.UserInfo; got.Username != tc.user || !slices.Contains(got.Groups, tc.group) {
				t.Errorf("the tenant sees %+v, want %s of %s", got, tc.user, tc.group)
			}
		})
	}
	checkAgentRights(t, agent)
	checkAnonymous(t, tenant.Config)

	var service *corev1.Service
	eventually(t, "default/kubernetes exists", func(ctx context.Context) (err error) {
		service, err = cases["user"].client.CoreV1().Services("default").Get(ctx, "kubernetes", metav1.GetOptions{})
		return err
	})
	ips, err := component.Spec{ServiceCIDR: s.get(t, virtualCluster).Status.Network.ServiceCIDR}.ServingIPs()
	if err != nil || service.Spec.ClusterIP != ips[1].String() {
		t.Errorf("default/kubernetes = %s, but the certificate has %v (%v)", service.Spec.ClusterIP, ips, err)
	}
}

// checkAgentRights: vn-agent may do what a kubelet may, for its own node.
func checkAgentRights(t *testing.T, agent kubernetes.Interface) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName}}
	if _, err := agent.CoreV1().Nodes().Create(t.Context(), node, metav1.CreateOptions{}); err != nil {
		t.Errorf("registering its node: %v", err)
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: tenancyv1alpha1.VirtualNodeName}}
	if _, err := agent.CoordinationV1().Leases("kube-node-lease").Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Errorf("renewing its lease: %v", err)
	}
	other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "another"}}
	if _, err := agent.CoreV1().Nodes().Create(t.Context(), other, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("registering another node: %v, want it forbidden", err)
	}
	if _, err := agent.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing Secrets: %v, want it forbidden", err)
	}
}

// checkAnonymous: who shows no certificate and no token gets the health, and
// nothing else: not even which version it is that answers.
func checkAnonymous(t *testing.T, config *rest.Config) {
	t.Helper()
	anonymous, err := rest.HTTPClientFor(rest.AnonymousClientConfig(config))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/livez": http.StatusOK, "/readyz": http.StatusOK, "/healthz": http.StatusOK,
		"/version": http.StatusUnauthorized, "/api": http.StatusUnauthorized, "/apis": http.StatusUnauthorized,
		"/api/v1/namespaces": http.StatusUnauthorized, "/openapi/v3": http.StatusUnauthorized,
		"/metrics": http.StatusUnauthorized, "/readyz/etcd": http.StatusUnauthorized,
		"/.well-known/openid-configuration": http.StatusUnauthorized,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := anonymous.Do(request)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		if response.StatusCode != want {
			t.Errorf("%s answers a stranger %d, want %d", path, response.StatusCode, want)
		}
	}
}

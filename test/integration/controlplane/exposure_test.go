// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	"virtualcluster.io/virtualcluster/pkg/controlplane/reconciler"
)

// exposable returns a class that allows every type of exposure.
func exposable(name, serviceCIDR string, exposure tenancyv1alpha1.ExposureType) *tenancyv1alpha1.VirtualClusterClass {
	out := class(name, serviceCIDR)
	out.Spec.ControlPlane.Exposure = tenancyv1alpha1.ClassExposure{
		Type: exposure,
		Allowed: []tenancyv1alpha1.ExposureType{
			tenancyv1alpha1.ExposeClusterIP, tenancyv1alpha1.ExposeNodePort, tenancyv1alpha1.ExposeLoadBalancer, tenancyv1alpha1.ExposeGateway,
		},
		Address: "nodes.example.test",
		Gateway: &tenancyv1alpha1.ClassGateway{Domain: "vc.example.test"},
	}
	return out
}

// expose changes the type of exposure of a virtual cluster.
func (s *suite) expose(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, exposure tenancyv1alpha1.ExposureType) {
	t.Helper()
	live := s.get(t, virtualCluster)
	before := live.DeepCopy()
	live.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{Expose: &tenancyv1alpha1.VirtualClusterExposure{Type: exposure}}
	if err := s.client.Patch(t.Context(), live, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) service(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) *corev1.Service {
	t.Helper()
	service := &corev1.Service{}
	if err := s.client.Get(t.Context(), types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: "control-plane"}, service); err != nil {
		t.Fatal(err)
	}
	return service
}

// balance plays the load balancer of the meta cluster.
func (s *suite) balance(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, ingress ...corev1.LoadBalancerIngress) {
	t.Helper()
	service := s.service(t, virtualCluster)
	before := service.DeepCopy()
	service.Status.LoadBalancer.Ingress = ingress
	if err := s.client.Status().Patch(t.Context(), service, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// userConfig returns what the administrator's kubeconfig says, or nil if there is none.
func (s *suite) userConfig(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) *rest.Config {
	t.Helper()
	secret := &corev1.Secret{}
	err := s.client.Get(t.Context(), types.NamespacedName{Namespace: userNamespace, Name: virtualCluster.Name + "-kubeconfig"}, secret)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data[tenancyv1alpha1.KeyKubeconfig])
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// wantKubeconfig checks where the kubeconfig leads, that the certificate in
// the control plane's Secret is good for it, and that its authority is pinned.
func (s *suite) wantKubeconfig(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, server, tlsServerName string) {
	t.Helper()
	config := s.userConfig(t, virtualCluster)
	if config == nil {
		t.Fatalf("there is no kubeconfig, want one for %s", server)
	}
	if config.Host != server || config.ServerName != tlsServerName || config.Insecure {
		t.Errorf("the kubeconfig leads to %q as %q, want %q as %q", config.Host, config.ServerName, server, tlsServerName)
	}
	if got := s.get(t, virtualCluster).Status.ControlPlane.Endpoint; got != server {
		t.Errorf("status.controlPlane.endpoint = %q, want %q", got, server)
	}
	name := tlsServerName
	if name == "" {
		name = strings.TrimPrefix(server, "https://")
		name, _, _ = strings.Cut(name, ":")
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(config.CAData) {
		t.Fatal("the kubeconfig pins no authority")
	}
	serving := parse(t, s.secret(t, controlPlaneNamespace(virtualCluster), component.SecretPKI).Data[pki.FileServingCert])
	if _, err := serving.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
		t.Errorf("the serving certificate: %v", err)
	}
}

func (s *suite) certified(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, name string) bool {
	t.Helper()
	serving := parse(t, s.secret(t, controlPlaneNamespace(virtualCluster), component.SecretPKI).Data[pki.FileServingCert])
	return serving.VerifyHostname(name) == nil
}

// showing returns a reconciler for which the API server shows a certificate for names alone.
func (s *suite) showing(names ...string) *reconciler.Reconciler {
	r := s.reconciler(nil)
	r.ProbeName = func(_ context.Context, _, name string, _ []byte) error {
		if !slices.Contains(names, name) {
			return errors.New("certificate is not valid for it")
		}
		return nil
	}
	return r
}

// placePod plays the scheduler, so that the pod has its certificate from now on.
func (s *suite) placePod(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, ip string) {
	t.Helper()
	key := types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: "control-plane-0"}
	eventually(t, "the pod is placed", func(ctx context.Context) error {
		pod := &corev1.Pod{}
		if err := s.client.Get(ctx, key, pod); err != nil {
			return err
		}
		return s.client.SubResource("binding").Create(ctx, pod, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "somewhere"}})
	})
	s.runPod(t, virtualCluster, ip)
}

func testLoadBalancer(t *testing.T, s *suite) {
	s.create(t, exposable("balanced", "10.208.0.0/16", tenancyv1alpha1.ExposeLoadBalancer))
	virtualCluster := s.virtualCluster(t, "balanced", "balanced")
	mustReconcile(t, s.showing(), virtualCluster)
	if service := s.service(t, virtualCluster); service.Spec.Type != corev1.ServiceTypeLoadBalancer {
		t.Errorf("the Service is of type %s", service.Spec.Type)
	}
	s.placePod(t, virtualCluster, "10.244.8.1")
	mustReconcile(t, s.showing(), virtualCluster)
	wantAwaiting(t, s, virtualCluster, "has no address yet")
	if config := s.userConfig(t, virtualCluster); config != nil {
		t.Errorf("there is a kubeconfig to %s before there is an address", config.Host)
	}

	s.balance(t, virtualCluster, corev1.LoadBalancerIngress{IP: "192.0.2.21"})
	mustReconcile(t, s.showing(), virtualCluster)
	wantAwaiting(t, s, virtualCluster, "certificate for 192.0.2.21")
	if config := s.userConfig(t, virtualCluster); config != nil {
		t.Errorf("there is a kubeconfig to %s before the API server shows its certificate", config.Host)
	}
	mustReconcile(t, s.showing("192.0.2.21"), virtualCluster)
	s.wantKubeconfig(t, virtualCluster, "https://192.0.2.21:6443", "")
	if err := s.wantCondition(t.Context(), virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Error(err)
	}
	if got, want := s.get(t, virtualCluster).Status.ControlPlane.InternalEndpoint, s.service(t, virtualCluster).Spec.ClusterIP+":6443"; got != want {
		t.Errorf("internalEndpoint = %q, want %q", got, want)
	}

	// Another address: the old one stays certified until users have the new one.
	s.balance(t, virtualCluster, corev1.LoadBalancerIngress{Hostname: "lb.example.test"})
	mustReconcile(t, s.showing("192.0.2.21"), virtualCluster)
	s.wantKubeconfig(t, virtualCluster, "https://192.0.2.21:6443", "")
	if !s.certified(t, virtualCluster, "lb.example.test") {
		t.Error("the certificate does not carry the new name")
	}
	mustReconcile(t, s.showing("192.0.2.21", "lb.example.test"), virtualCluster)
	s.wantKubeconfig(t, virtualCluster, "https://lb.example.test:6443", "")
	mustReconcile(t, s.showing("lb.example.test"), virtualCluster)
	if s.certified(t, virtualCluster, "192.0.2.21") {
		t.Error("the certificate still carries the address that was given up")
	}
	s.wantNoWrites(t, virtualCluster)
}

func wantAwaiting(t *testing.T, s *suite, virtualCluster *tenancyv1alpha1.VirtualCluster, message string) {
	t.Helper()
	if err := s.wantCondition(t.Context(), virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning); err != nil {
		t.Error(err)
	}
	condition := meta.FindStatusCondition(s.get(t, virtualCluster).Status.Conditions, tenancyv1alpha1.ConditionControlPlaneReady)
	if condition == nil || !strings.Contains(condition.Message, message) {
		t.Errorf("ControlPlaneReady = %+v, want it to say %q", condition, message)
	}
}

func testGatewayEndpoint(t *testing.T, s *suite) {
	s.create(t, exposable("gated", "10.205.0.0/16", tenancyv1alpha1.ExposeGateway))
	virtualCluster := s.virtualCluster(t, "gated", "gated")
	mustReconcile(t, s.showing(), virtualCluster)
	hostname := s.get(t, virtualCluster).Status.ControlPlane.Hostname
	if !strings.HasPrefix(hostname, "gated-") || !strings.HasSuffix(hostname, ".vc.example.test") {
		t.Errorf("hostname = %q", hostname)
	}
	// The pod is not placed yet, so it will start with the right certificate.
	s.wantKubeconfig(t, virtualCluster, "https://"+hostname, "")
	if service := s.service(t, virtualCluster); service.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("the Service is of type %s", service.Spec.Type)
	}
	s.placePod(t, virtualCluster, "10.244.8.2")

	live := &tenancyv1alpha1.VirtualClusterClass{}
	if err := s.client.Get(t.Context(), types.NamespacedName{Name: "gated"}, live); err != nil {
		t.Fatal(err)
	}
	before := live.DeepCopy()
	live.Spec.ControlPlane.Exposure.Gateway.Address = "192.0.2.30:30443"
	if err := s.client.Patch(t.Context(), live, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	mustReconcile(t, s.showing(hostname), virtualCluster)
	s.wantKubeconfig(t, virtualCluster, "https://192.0.2.30:30443", hostname)
	s.wantNoWrites(t, virtualCluster)

	namesake := &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "gated"},
		Spec:       tenancyv1alpha1.VirtualClusterSpec{ClassName: "gated"},
	}
	s.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}})
	s.create(t, namesake)
	mustReconcile(t, s.showing(), namesake)
	if got := s.get(t, namesake).Status.ControlPlane.Hostname; got == "" || got == hostname {
		t.Errorf("two virtual clusters of one name have the hostnames %q and %q", got, hostname)
	}
}

// testSwitchExposure goes from every type of exposure to every other on one live virtual cluster.
func testSwitchExposure(t *testing.T, s *suite) {
	s.create(t, exposable("switched", "10.206.0.0/16", tenancyv1alpha1.ExposeClusterIP))
	virtualCluster := s.virtualCluster(t, "switched", "switched")
	mustReconcile(t, s.showing(), virtualCluster)
	s.placePod(t, virtualCluster, "10.244.8.3")
	mustReconcile(t, s.showing(), virtualCluster)
	types := []tenancyv1alpha1.ExposureType{
		tenancyv1alpha1.ExposeClusterIP, tenancyv1alpha1.ExposeNodePort, tenancyv1alpha1.ExposeLoadBalancer, tenancyv1alpha1.ExposeGateway,
	}
	// A round trip of the complete graph: every ordered pair once.
	for _, first := range types {
		for _, second := range types {
			if first != second {
				s.switchTo(t, virtualCluster, first)
				s.switchTo(t, virtualCluster, second)
			}
		}
	}
	s.wantNoWrites(t, virtualCluster)
}

func (s *suite) switchTo(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, exposure tenancyv1alpha1.ExposureType) {
	t.Helper()
	was := s.get(t, virtualCluster).Status.ControlPlane
	s.expose(t, virtualCluster, exposure)
	mustReconcile(t, s.showing(), virtualCluster)
	if exposure == tenancyv1alpha1.ExposeLoadBalancer {
		s.balance(t, virtualCluster, corev1.LoadBalancerIngress{IP: "192.0.2.40"})
	}
	// Before the API server shows the new name, users keep what they have.
	mustReconcile(t, s.showing(), virtualCluster)
	if is := s.get(t, virtualCluster).Status.ControlPlane; is.Endpoint != was.Endpoint || is.Hostname != was.Hostname {
		t.Errorf("to %s: %s (%s) became %s (%s) too early", exposure, was.Endpoint, was.Hostname, is.Endpoint, is.Hostname)
	}
	service := s.service(t, virtualCluster)
	hostname := component.Spec{
		TenantID: virtualCluster.UID, VirtualCluster: client.ObjectKeyFromObject(virtualCluster),
		ControlPlane: tenancyv1alpha1.ClassControlPlane{Exposure: tenancyv1alpha1.ClassExposure{Gateway: &tenancyv1alpha1.ClassGateway{Domain: "vc.example.test"}}},
	}.Hostname()
	mustReconcile(t, s.showing(service.Spec.ClusterIP, "nodes.example.test", "192.0.2.40", hostname), virtualCluster)
	mustReconcile(t, s.showing(), virtualCluster)
	wantServer := map[tenancyv1alpha1.ExposureType]string{
		tenancyv1alpha1.ExposeClusterIP:    "https://" + service.Spec.ClusterIP + ":6443",
		tenancyv1alpha1.ExposeNodePort:     fmt.Sprintf("https://nodes.example.test:%d", service.Spec.Ports[0].NodePort),
		tenancyv1alpha1.ExposeLoadBalancer: "https://192.0.2.40:6443",
		tenancyv1alpha1.ExposeGateway:      "https://" + hostname,
	}
	s.wantKubeconfig(t, virtualCluster, wantServer[exposure], "")
	if got, want := s.get(t, virtualCluster).Status.ControlPlane.Hostname != "", exposure == tenancyv1alpha1.ExposeGateway; got != want {
		t.Errorf("to %s: vc-gateway leads to it: %t, want %t", exposure, got, want)
	}
	if err := s.wantCondition(t.Context(), virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Errorf("to %s: %v", exposure, err)
	}
	if exposure != tenancyv1alpha1.ExposeNodePort && exposure != tenancyv1alpha1.ExposeLoadBalancer && service.Spec.Ports[0].NodePort != 0 {
		t.Errorf("to %s: the port of the nodes %d stays open", exposure, service.Spec.Ports[0].NodePort)
	}
}

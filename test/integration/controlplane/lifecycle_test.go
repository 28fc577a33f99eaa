// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/members"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	"virtualcluster.io/virtualcluster/pkg/controlplane/reconciler"
)

// testAdmission shows what the API server refuses by itself.
func testAdmission(t *testing.T, s *suite) {
	named := func(name string) *tenancyv1alpha1.VirtualCluster {
		return &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: name}}
	}
	changed := func(change func(*tenancyv1alpha1.VirtualClusterClass)) client.Object {
		object := class("admission", "10.112.0.0/12")
		change(object)
		return object
	}
	versioned := func(version string) client.Object {
		object := named("admission")
		object.Spec.Version = version
		return object
	}
	cases := map[string]struct {
		object  client.Object
		wantErr string // empty: accepted
	}{
		"defaults only":         {named("admission"), ""},
		"longest name":          {named(strings.Repeat("a", 40)), ""},
		"name too long":         {named(strings.Repeat("a", 41)), "at most 40 characters"},
		"name with dots":        {named("a.b"), "DNS label"},
		"name begins with 1":    {named("1a"), "DNS label"},
		"version of the class":  {versioned("v1.37.1"), ""},
		"version without patch": {versioned("v1.37"), "spec.version"},
		"a class":               {changed(func(*tenancyv1alpha1.VirtualClusterClass) {}), ""},
		"no version": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.Versions = nil
		}), "spec.versions"},
		"no default version": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.Versions[0].Default = false
		}), "exactly one version"},
		"not a CIDR": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.Network.ServiceCIDR = "10.112.0.0"
		}), "IPv4 CIDR"},
		"IPv6": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.Network.ServiceCIDR = "fd00::/48"
		}), "IPv4 CIDR"},
		"slice as large as the range": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.Network.ServiceSliceBits = 12
		}), "there is no slice to give"},
		"default sandbox not allowed": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.Sandbox.Default = "runc"
		}), "default must be one of allowed"},
		"unknown exposure": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.ControlPlane.Exposure.Type = "Magic"
		}), "exposure.type"},
		"upstream name servers": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.DNS.UpstreamNameservers = []string{"192.0.2.53", "2001:db8::53"}
		}), ""},
		"an upstream by name": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.DNS.UpstreamNameservers = []string{"dns.example.test"}
		}), "upstreamNameservers must be IP addresses"},
		"an upstream that ends the line": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.DNS.UpstreamNameservers = []string{"192.0.2.53\n}\n.:53 {"}
		}), "upstreamNameservers must be IP addresses"},
		"an upstream that is the pod": {changed(func(c *tenancyv1alpha1.VirtualClusterClass) {
			c.Spec.DNS.UpstreamNameservers = []string{"127.0.0.1"}
		}), "upstreamNameservers must be IP addresses"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := s.client.Create(t.Context(), tc.object, client.DryRunAll)
			switch {
			case tc.wantErr == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.wantErr != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.wantErr)):
				t.Errorf("Create: %v, want it refused with %q", err, tc.wantErr)
			}
		})
	}
}

func testImmutable(t *testing.T, s *suite) {
	virtualCluster := s.virtualCluster(t, "immutable", "default")
	before := virtualCluster.DeepCopy()
	virtualCluster.Spec.ClassName = "other"
	err := s.client.Patch(t.Context(), virtualCluster, client.MergeFrom(before))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "className cannot be changed") {
		t.Errorf("changing the class: %v", err)
	}
}

// testServiceRange fills a range of two slices: the third waits, and gets the
// first one's slice when that is deleted.
func testServiceRange(t *testing.T, s *suite) {
	small := class("small", "10.200.0.0/21")
	s.create(t, small)
	r := s.reconciler(nil)
	first, second, third := s.virtualCluster(t, "range-a", "small"), s.virtualCluster(t, "range-b", "small"), s.virtualCluster(t, "range-c", "small")
	for _, virtualCluster := range []*tenancyv1alpha1.VirtualCluster{first, second, third} {
		mustReconcile(t, r, virtualCluster)
	}
	for virtualCluster, want := range map[*tenancyv1alpha1.VirtualCluster]string{first: "10.200.0.0/22", second: "10.200.4.0/22"} {
		if network := s.get(t, virtualCluster).Status.Network; network == nil || network.ServiceCIDR != want {
			t.Errorf("%s: network = %+v, want %s", virtualCluster.Name, network, want)
		}
	}
	err := s.wantCondition(t.Context(), third, tenancyv1alpha1.ConditionNetworkAllocated, metav1.ConditionFalse, tenancyv1alpha1.ReasonServiceRangeExhausted)
	if err != nil {
		t.Error(err)
	}
	// A class whose range lies around this one gives nothing of what is taken.
	around := class("around", "10.200.0.0/20")
	around.Spec.Network.ServiceSliceBits = 23
	s.create(t, around)
	other := s.virtualCluster(t, "range-d", "around")
	mustReconcile(t, r, other)
	if network := s.get(t, other).Status.Network; network == nil || network.ServiceCIDR != "10.200.8.0/23" {
		t.Errorf("the range around: network = %+v, want the first that is free", network)
	}
	s.deleteAndWait(t, r, first)
	mustReconcile(t, r, third)
	if network := s.get(t, third).Status.Network; network == nil || network.ServiceCIDR != "10.200.0.0/22" {
		t.Errorf("after the first was deleted: network = %+v", network)
	}
}

func testNodePort(t *testing.T, s *suite) {
	exposed := class("exposed", "10.201.0.0/16")
	exposed.Spec.ControlPlane.Exposure.Type = tenancyv1alpha1.ExposeNodePort
	s.create(t, exposed)
	virtualCluster := s.virtualCluster(t, "nodeport", "exposed")
	r := s.reconciler(nil)
	mustReconcile(t, r, virtualCluster)
	if err := s.wantCondition(t.Context(), virtualCluster, tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning); err != nil {
		t.Errorf("without a node: %v", err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-a"}}
	s.create(t, node)
	t.Cleanup(func() {
		if err := s.client.Delete(context.WithoutCancel(t.Context()), node); err != nil {
			t.Error(err)
		}
	})
	before := node.DeepCopy()
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.10"}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	if err := s.client.Status().Patch(t.Context(), node, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	mustReconcile(t, r, virtualCluster)
	service := &corev1.Service{}
	key := types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: "control-plane"}
	if err := s.client.Get(t.Context(), key, service); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("https://192.0.2.10:%d", service.Spec.Ports[0].NodePort)
	if got := s.get(t, virtualCluster).Status.ControlPlane.Endpoint; got != want {
		t.Errorf("endpoint = %q, want %q", got, want)
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(s.secret(t, userNamespace, "nodeport-kubeconfig").Data[tenancyv1alpha1.KeyKubeconfig])
	if err != nil || config.Host != want {
		t.Errorf("the kubeconfig leads to %v (%v), want %q", config, err, want)
	}
	serving := parse(t, s.secret(t, key.Namespace, component.SecretPKI).Data[pki.FileServingCert])
	for _, name := range []string{"192.0.2.10", "127.0.0.1", "10.201.0.1", service.Spec.ClusterIP, "kubernetes.default.svc.cluster.local", "control-plane." + key.Namespace + ".svc"} {
		if err := serving.VerifyHostname(name); err != nil {
			t.Errorf("serving certificate: %v", err)
		}
	}
	s.runPod(t, virtualCluster, "10.244.7.9") // the condition tells whether it exists
	mustReconcile(t, r, virtualCluster)
	s.wantNoWrites(t, virtualCluster)
}

func testDeletionWithoutClass(t *testing.T, s *suite) {
	gone := class("gone", "10.202.0.0/16")
	s.create(t, gone)
	virtualCluster := s.virtualCluster(t, "orphan", "gone")
	r := s.reconciler(nil)
	mustReconcile(t, r, virtualCluster)
	s.runPod(t, virtualCluster, "10.244.9.9")
	if err := s.client.Delete(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	mustReconcile(t, r, virtualCluster)
	if err := s.wantCondition(t.Context(), virtualCluster, tenancyv1alpha1.ConditionReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonClassNotFound); err != nil {
		t.Error(err)
	}
	if got := s.get(t, virtualCluster).Status.ControlPlane.Addresses; !slices.Equal(got, []string{"10.244.9.9"}) {
		t.Errorf("addresses = %v: the tenant, which runs on, cannot find its API server", got)
	}
	s.deleteAndWait(t, r, virtualCluster)
}

// deleteAndWait deletes a VirtualCluster by reconciling, and checks that
// nothing is left.
func (s *suite) deleteAndWait(t *testing.T, r *reconciler.Reconciler, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	if err := s.client.Delete(t.Context(), virtualCluster); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the virtual cluster is gone", func(ctx context.Context) error {
		if _, err := r.Reconcile(ctx, request(virtualCluster)); err != nil {
			return err
		}
		return s.wantGone(ctx, client.ObjectKeyFromObject(virtualCluster), &tenancyv1alpha1.VirtualCluster{})
	})
	s.wantNothingLeft(t, virtualCluster)
}

func (s *suite) wantNothingLeft(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	if left := s.objectsOf(t, virtualCluster); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	var claims corev1.PersistentVolumeClaimList
	if err := s.client.List(t.Context(), &claims, client.InNamespace(controlPlaneNamespace(virtualCluster))); err != nil {
		t.Fatal(err)
	}
	if len(claims.Items) > 0 {
		t.Errorf("left behind: %d volume claims", len(claims.Items))
	}
}

func (s *suite) secret(t *testing.T, namespace, name string) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	if err := s.client.Get(t.Context(), types.NamespacedName{Namespace: namespace, Name: name}, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

func parse(t *testing.T, certPEM []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(certPEM)
	if block == nil {
		t.Fatal("not a PEM certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func testAgentServing(t *testing.T, s *suite) {
	serving := &reconciler.AgentServing{Client: s.client, APIReader: s.client, Namespace: platformNamespace, Clock: clock.RealClock{}}
	ca, err := serving.CA(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	result, err := serving.Reconcile(t.Context(), ctrl.Request{})
	if err != nil || result.RequeueAfter == 0 {
		t.Errorf("without the Service: %+v, %v; want to be called again", result, err)
	}
	if err := s.wantGone(t.Context(), types.NamespacedName{Namespace: platformNamespace, Name: tenancyv1alpha1.SecretAgentServing}, &corev1.Secret{}); err != nil {
		t.Errorf("without the Service: %v", err)
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: platformNamespace, Name: tenancyv1alpha1.AgentServiceName},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: tenancyv1alpha1.AgentPort}}},
	}
	s.create(t, service)
	if _, err := serving.Reconcile(t.Context(), ctrl.Request{}); err != nil {
		t.Fatal(err)
	}
	secret := s.secret(t, platformNamespace, tenancyv1alpha1.SecretAgentServing)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	for _, name := range []string{service.Spec.ClusterIP, "vn-agent.vc-system.svc"} {
		_, err := parse(t, secret.Data[corev1.TLSCertKey]).Verify(x509.VerifyOptions{Roots: pool, DNSName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := serving.Reconcile(t.Context(), ctrl.Request{}); err != nil {
		t.Fatal(err)
	}
	if again := s.secret(t, platformNamespace, tenancyv1alpha1.SecretAgentServing); again.ResourceVersion != secret.ResourceVersion {
		t.Errorf("the certificate was written again")
	}
	serving.Clock = clocktesting.NewFakePassiveClock(time.Now().Add(pki.LeafTTL * 2 / 3))
	if _, err := serving.Reconcile(t.Context(), ctrl.Request{}); err != nil {
		t.Fatal(err)
	}
	if renewed := s.secret(t, platformNamespace, tenancyv1alpha1.SecretAgentServing); bytes.Equal(renewed.Data[corev1.TLSCertKey], secret.Data[corev1.TLSCertKey]) {
		t.Errorf("the certificate was not renewed after two thirds of its life")
	}
}

// restricted returns the configuration of a user who has the generated roles
// of vc-manager and nothing else: a right that is missing shows in the test.
func (s *suite) restricted(t *testing.T) *rest.Config {
	t.Helper()
	const user = "vc-manager"
	content, err := os.ReadFile("../../../config/rbac/vc-manager/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}}
	for document := range strings.SplitSeq(strings.TrimPrefix(string(content), "---\n"), "\n---\n") {
		role := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &role.Object); err != nil {
			t.Fatal(err)
		}
		s.create(t, role)
		reference := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: role.GetKind(), Name: role.GetName()}
		meta := metav1.ObjectMeta{Namespace: role.GetNamespace(), Name: user}
		if role.GetKind() == "ClusterRole" {
			s.create(t, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: reference, Subjects: subjects})
			continue
		}
		s.create(t, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: reference, Subjects: subjects})
	}
	config := rest.CopyConfig(s.config)
	config.Impersonate.UserName = user
	return config
}

// testManager runs vc-manager as it is shipped, but for the probe: nothing
// leads to a ClusterIP here.
func testManager(t *testing.T, s *suite) {
	config := &configv1alpha1.VCManagerConfiguration{}
	config.Metrics.BindAddress, config.Health.BindAddress = "0", "0"
	if err := configv1alpha1.Load("", config); err != nil {
		t.Fatal(err)
	}
	restricted := s.restricted(t)
	options, err := controlplane.ManagerOptions(restricted, config)
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(restricted, options)
	if err != nil {
		t.Fatal(err)
	}
	var answering atomic.Bool
	probe := func(context.Context, string, []byte) error {
		if answering.Load() {
			return nil
		}
		return errors.New("no answer")
	}
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no way") }
	probeName := func(context.Context, string, string, []byte) error { return nil }
	if err := controlplane.Setup(t.Context(), mgr, config, controlplane.Reach{Probe: probe, ProbeName: probeName, Dial: dial, Members: members.Connect}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Errorf("the manager ended: %v", err)
		}
	})

	virtualCluster := s.virtualCluster(t, "managed", "later")
	want := func(what, condition string, status metav1.ConditionStatus, reason string) {
		t.Helper()
		eventually(t, what, func(ctx context.Context) error {
			return s.wantCondition(ctx, virtualCluster, condition, status, reason)
		})
	}
	want("the class is missed", tenancyv1alpha1.ConditionReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonClassNotFound)
	s.create(t, class("later", "10.203.0.0/16"))
	want("the class is found", tenancyv1alpha1.ConditionClassResolved, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	s.runPod(t, virtualCluster, "10.244.3.3")
	want("the API server is probed", tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning)
	answering.Store(true)
	want("the API server answers", tenancyv1alpha1.ConditionControlPlaneReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	s.reportOthers(t, virtualCluster, tenancyv1alpha1.ConditionSyncerReady)
	eventually(t, "Ready names what it waits for", func(context.Context) error {
		ready := meta.FindStatusCondition(s.get(t, virtualCluster).Status.Conditions, tenancyv1alpha1.ConditionReady)
		if ready == nil || !strings.Contains(ready.Message, tenancyv1alpha1.ConditionNodeReady) {
			return fmt.Errorf("Ready = %+v", ready)
		}
		return nil
	})
	s.reportOthers(t, virtualCluster, tenancyv1alpha1.ConditionNodeReady)
	want("everything is ready", tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	want("DNS is tried, and Ready does not wait for it", tenancyv1alpha1.ConditionDNSReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonTenantUnreachable)
	s.deleteManaged(t, virtualCluster)
}

// deleteManaged deletes a VirtualCluster that the syncer still holds: nothing
// is removed before the syncer has let go.
func (s *suite) deleteManaged(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	s.patchFinalizers(t, virtualCluster, func(finalizers []string) []string {
		return append(finalizers, tenancyv1alpha1.FinalizerSyncer)
	})
	if err := s.client.Delete(t.Context(), virtualCluster); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deletion is reported", func(ctx context.Context) error {
		return s.wantCondition(ctx, virtualCluster, tenancyv1alpha1.ConditionReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonDeleting)
	})
	s.wantSilent(t, virtualCluster)
	s.patchFinalizers(t, virtualCluster, func(finalizers []string) []string {
		return slices.DeleteFunc(finalizers, func(f string) bool { return f == tenancyv1alpha1.FinalizerSyncer })
	})
	eventually(t, "the virtual cluster is gone", func(ctx context.Context) error {
		return s.wantGone(ctx, client.ObjectKeyFromObject(virtualCluster), &tenancyv1alpha1.VirtualCluster{})
	})
	s.wantNothingLeft(t, virtualCluster)
}

func (s *suite) patchFinalizers(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, change func([]string) []string) {
	t.Helper()
	eventually(t, "the finalizers are patched", func(ctx context.Context) error {
		live := &tenancyv1alpha1.VirtualCluster{}
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(virtualCluster), live); err != nil {
			return err
		}
		before := live.DeepCopy()
		live.Finalizers = change(live.Finalizers)
		return s.client.Patch(ctx, live, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	})
}

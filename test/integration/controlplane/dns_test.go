// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
	"virtualcluster.io/virtualcluster/pkg/controlplane/dns"
	"virtualcluster.io/virtualcluster/pkg/controlplane/reconciler"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// dnsTest is a tenant with an API server of its own, and the controller under test.
type dnsTest struct {
	*suite
	virtualCluster *tenancyv1alpha1.VirtualCluster
	class          string
	// tenant is its administrator's client, server where its API server is, with its authority.
	tenant client.Client
	server string
	ca     []byte
	dns    *reconciler.DNS
}

// testDNS keeps a tenant's DNS server in order, against a tenant that is hostile to it.
func testDNS(t *testing.T, s *suite) {
	d := s.startDNS(t, "named")
	for _, test := range []struct {
		name string
		run  func(*testing.T, *dnsTest)
	}{
		{"WaitsForPods", testDNSWaits},
		{"Made", testDNSMade},
		{"SecondVisitWritesNothing", testDNSSettled},
		{"FollowsTheClass", testDNSFollowsClass},
		{"Healed", testDNSHealed},
		{"Names", testDNSNames},
		{"Disabled", testDNSDisabled},
		{"Conflict", testDNSConflict},
		{"DeniedByTheTenant", testDNSDenied},
		{"WebhookHangs", testDNSHangs},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, d) })
	}
}

// startDNS makes a virtual cluster with a class of the same name, and runs its control plane.
func (s *suite) startDNS(t *testing.T, name string) *dnsTest {
	t.Helper()
	s.create(t, class(name, "10.204.0.0/16"))
	virtualCluster := s.virtualCluster(t, name, name)
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	s.runPod(t, virtualCluster, "10.244.9.9")
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	instance := controlplanetest.Start(t, controlplanetest.Options{
		Files:       s.secret(t, controlPlaneNamespace(virtualCluster), component.SecretPKI).Data,
		ServiceCIDR: s.get(t, virtualCluster).Status.Network.ServiceCIDR,
	})
	config, err := clientcmd.RESTConfigFromKubeConfig(s.secret(t, userNamespace, name+"-kubeconfig").Data[tenancyv1alpha1.KeyKubeconfig])
	if err != nil {
		t.Fatal(err)
	}
	config.Host, config.QPS = instance.Config.Host, -1
	tenantClient, err := client.New(config, client.Options{Scheme: s.scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &dnsTest{
		suite: s, virtualCluster: virtualCluster, class: name,
		tenant: tenantClient, server: config.Host, ca: config.CAData,
		dns: &reconciler.DNS{
			Client: s.client, APIReader: s.client, Clock: clock.RealClock{}, Recorder: events.NewFakeRecorder(1000),
			// The ClusterIP leads nowhere here.
			Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, strings.TrimPrefix(instance.Config.Host, "https://"))
			},
		},
	}
}

// visit reconciles once and checks the condition, which it returns.
func (d *dnsTest) visit(t *testing.T, status metav1.ConditionStatus, reason string) metav1.Condition {
	t.Helper()
	if _, err := d.dns.Reconcile(t.Context(), request(d.virtualCluster)); err != nil {
		t.Fatalf("Reconcile: %v", err)
	}
	got := meta.FindStatusCondition(d.get(t, d.virtualCluster).Status.Conditions, tenancyv1alpha1.ConditionDNSReady)
	if got == nil || got.Status != status || got.Reason != reason {
		t.Fatalf("DNSReady = %+v, want %s with reason %s", got, status, reason)
	}
	return *got
}

// wanted are the objects of the class as it is now.
func (d *dnsTest) wanted(t *testing.T) []client.Object {
	t.Helper()
	live := &tenancyv1alpha1.VirtualClusterClass{}
	if err := d.client.Get(t.Context(), client.ObjectKey{Name: d.class}, live); err != nil {
		t.Fatal(err)
	}
	slice := netip.MustParsePrefix(d.get(t, d.virtualCluster).Status.Network.ServiceCIDR)
	objects, err := dns.Spec{ServiceCIDR: slice, Class: live.Spec.DNS}.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// contents returns what the tenant has of the objects, without what changes by itself.
func (d *dnsTest) contents(t *testing.T) map[string]client.Object {
	t.Helper()
	out := map[string]client.Object{}
	for _, object := range d.wanted(t) {
		live, ok := object.DeepCopyObject().(client.Object)
		if !ok {
			t.Fatalf("%T is no object", object)
		}
		key := fmt.Sprintf("%T", object)
		if err := d.tenant.Get(t.Context(), client.ObjectKeyFromObject(object), live); err != nil {
			if client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			continue
		}
		live.SetManagedFields(nil)
		live.SetResourceVersion("")
		live.SetUID("")
		live.SetGeneration(0)
		live.SetCreationTimestamp(metav1.Time{})
		if deployment, ok := live.(*appsv1.Deployment); ok {
			deployment.Status = appsv1.DeploymentStatus{}
			delete(deployment.Annotations, "deployment.kubernetes.io/revision")
		}
		out[key] = live
	}
	return out
}

func (d *dnsTest) changeClass(t *testing.T, change func(*tenancyv1alpha1.ClassDNS)) {
	t.Helper()
	live := &tenancyv1alpha1.VirtualClusterClass{}
	if err := d.client.Get(t.Context(), client.ObjectKey{Name: d.class}, live); err != nil {
		t.Fatal(err)
	}
	before := live.DeepCopy()
	change(&live.Spec.DNS)
	if err := d.client.Patch(t.Context(), live, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// edit changes an object in the tenant as its administrator.
func edit[T client.Object](t *testing.T, d *dnsTest, object T, change func(T)) {
	t.Helper()
	if err := d.tenant.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatal(err)
	}
	before, ok := object.DeepCopyObject().(T)
	if !ok {
		t.Fatalf("%T is no object", object)
	}
	change(object)
	if err := d.tenant.Patch(t.Context(), object, client.MergeFrom(before), client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
}

func (d *dnsTest) deleteInTenant(t *testing.T, object client.Object) {
	t.Helper()
	if err := d.tenant.Delete(t.Context(), object); err != nil {
		t.Fatal(err)
	}
}

func deploymentOf() *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "coredns"}}
}

func serviceOf() *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns"}}
}

func testDNSWaits(t *testing.T, d *dnsTest) {
	got := d.visit(t, metav1.ConditionUnknown, tenancyv1alpha1.ReasonWaiting)
	if !strings.Contains(got.Message, tenancyv1alpha1.ConditionSyncerReady) {
		t.Errorf("it waits for %q", got.Message)
	}
	if contents := d.contents(t); len(contents) != 0 {
		t.Errorf("it was made: %v", contents)
	}
	d.reportOthers(t, d.virtualCluster, tenancyv1alpha1.ConditionSyncerReady, tenancyv1alpha1.ConditionNodeReady)
}

func testDNSMade(t *testing.T, d *dnsTest) {
	d.visit(t, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning)
	if got, want := len(d.contents(t)), len(d.wanted(t)); got != want {
		t.Fatalf("%d objects, want %d", got, want)
	}
	service := serviceOf()
	if err := d.tenant.Get(t.Context(), client.ObjectKeyFromObject(service), service); err != nil || service.Spec.ClusterIP != "10.204.0.10" {
		t.Errorf("the Service has %s (%v)", service.Spec.ClusterIP, err)
	}
	d.runPods(t)
	d.visit(t, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	mustReconcile(t, d.reconciler(nil), d.virtualCluster)
	if err := d.wantCondition(t.Context(), d.virtualCluster, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Error(err)
	}
	if err := d.wantCondition(t.Context(), d.virtualCluster, tenancyv1alpha1.ConditionDNSReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Errorf("the other controller took the condition back: %v", err)
	}
}

// runPods plays the kubelet for CoreDNS's pods.
func (d *dnsTest) runPods(t *testing.T) {
	t.Helper()
	eventually(t, "the Deployment is available", func(ctx context.Context) error {
		var pods corev1.PodList
		if err := d.tenant.List(ctx, &pods, client.InNamespace("kube-system"), client.MatchingLabels{"k8s-app": "kube-dns"}); err != nil {
			return err
		}
		for i := range pods.Items {
			before := pods.Items[i].DeepCopy()
			now := metav1.Now()
			pods.Items[i].Status.Phase = corev1.PodRunning
			pods.Items[i].Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: now}}
			if err := d.tenant.Status().Patch(ctx, &pods.Items[i], client.MergeFrom(before)); err != nil {
				return err
			}
		}
		deployment := deploymentOf()
		if err := d.tenant.Get(ctx, client.ObjectKeyFromObject(deployment), deployment); err != nil {
			return err
		}
		if deployment.Status.AvailableReplicas != 1 {
			return fmt.Errorf("status %+v", deployment.Status)
		}
		return nil
	})
}

func (d *dnsTest) versions(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, object := range d.wanted(t) {
		if _, isDeployment := object.(*appsv1.Deployment); isDeployment {
			continue // Its controller writes its status.
		}
		if err := d.tenant.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			t.Fatal(err)
		}
		out[fmt.Sprintf("%T", object)] = object.GetResourceVersion()
	}
	return out
}

func testDNSSettled(t *testing.T, d *dnsTest) {
	before := d.versions(t)
	// An object in order is not even sent: a server that takes nothing does not matter.
	d.denyAll(t)
	for range 3 {
		if _, err := d.dns.Reconcile(t.Context(), request(d.virtualCluster)); err != nil {
			t.Fatal(err)
		}
	}
	got := meta.FindStatusCondition(d.get(t, d.virtualCluster).Status.Conditions, tenancyv1alpha1.ConditionDNSReady)
	if got.Reason == tenancyv1alpha1.ReasonRefused {
		t.Errorf("something was written: %s", got.Message)
	}
	if diff := cmp.Diff(before, d.versions(t)); diff != "" {
		t.Errorf("resourceVersions (-before +after):\n%s", diff)
	}
}

func testDNSFollowsClass(t *testing.T, d *dnsTest) {
	d.changeClass(t, func(class *tenancyv1alpha1.ClassDNS) {
		class.Image, class.UpstreamNameservers = "example.test/coredns:v2", []string{"192.0.2.53"}
	})
	d.dnsReconcile(t)
	deployment := deploymentOf()
	if err := d.tenant.Get(t.Context(), client.ObjectKeyFromObject(deployment), deployment); err != nil {
		t.Fatal(err)
	}
	if got := deployment.Spec.Template.Spec; got.Containers[0].Image != "example.test/coredns:v2" || got.DNSConfig.Nameservers[0] != "192.0.2.53" {
		t.Errorf("pod = %s, %v", got.Containers[0].Image, got.DNSConfig)
	}
	d.changeClass(t, func(class *tenancyv1alpha1.ClassDNS) { class.UpstreamNameservers = nil })
	d.dnsReconcile(t)
	configMap := &corev1.ConfigMap{}
	if err := d.tenant.Get(t.Context(), client.ObjectKeyFromObject(deployment), configMap); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(configMap.Data["Corefile"], "192.0.2.53") {
		t.Errorf("the upstream is still there:\n%s", configMap.Data["Corefile"])
	}
}

func (d *dnsTest) dnsReconcile(t *testing.T) {
	t.Helper()
	if _, err := d.dns.Reconcile(t.Context(), request(d.virtualCluster)); err != nil {
		t.Fatal(err)
	}
}

// testDNSHealed: whatever the tenant does to the objects, the next visit undoes.
func testDNSHealed(t *testing.T, d *dnsTest) {
	want := d.contents(t)
	for name, harm := range map[string]func(t *testing.T){
		"Deployment deleted": func(t *testing.T) { d.deleteInTenant(t, deploymentOf()) },
		"Service deleted":    func(t *testing.T) { d.deleteInTenant(t, serviceOf()) },
		"Corefile changed": func(t *testing.T) {
			edit(t, d, &corev1.ConfigMap{ObjectMeta: deploymentOf().ObjectMeta}, func(o *corev1.ConfigMap) { o.Data["Corefile"] = "no" })
		},
		"ConfigMap frozen": func(t *testing.T) {
			edit(t, d, &corev1.ConfigMap{ObjectMeta: deploymentOf().ObjectMeta}, func(o *corev1.ConfigMap) { o.Data["Corefile"], o.Immutable = "no", new(true) })
		},
		"no replicas": func(t *testing.T) {
			edit(t, d, deploymentOf(), func(o *appsv1.Deployment) { o.Spec.Replicas = new(int32(0)) })
		},
		"another image": func(t *testing.T) {
			edit(t, d, deploymentOf(), func(o *appsv1.Deployment) { o.Spec.Template.Spec.Containers[0].Image = "example.test/evil" })
		},
		"a node selector": func(t *testing.T) {
			edit(t, d, deploymentOf(), func(o *appsv1.Deployment) {
				o.Spec.Template.Spec.NodeSelector = map[string]string{"no": "where"}
			})
		},
		"an init container": func(t *testing.T) {
			edit(t, d, deploymentOf(), func(o *appsv1.Deployment) {
				o.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "never", Image: "example.test/ends"}}
			})
		},
		"another selector": func(t *testing.T) {
			edit(t, d, serviceOf(), func(o *corev1.Service) { o.Spec.Selector["no"] = "body" })
		},
		"another address": func(t *testing.T) {
			d.deleteInTenant(t, serviceOf())
			moved := serviceOf()
			moved.Labels = map[string]string{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager}
			moved.Spec.Ports = []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}}
			if err := d.tenant.Create(t.Context(), moved); err != nil {
				t.Fatal(err)
			}
		},
		"the label removed": func(t *testing.T) {
			edit(t, d, serviceOf(), func(o *corev1.Service) { o.Labels = nil })
		},
		"no rights": func(t *testing.T) {
			edit(t, d, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "system:coredns"}}, func(o *rbacv1.ClusterRole) { o.Rules = nil })
		},
		"rights of others": func(t *testing.T) {
			edit(t, d, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "system:coredns"}}, func(o *rbacv1.ClusterRole) {
				o.AggregationRule = &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"a": "b"}}}}
			})
		},
		"another role": func(t *testing.T) {
			binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "system:coredns"}}
			d.deleteInTenant(t, binding)
			binding = &rbacv1.ClusterRoleBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "system:coredns", Labels: map[string]string{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager}},
				RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
			}
			if err := d.tenant.Create(t.Context(), binding); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			harm(t)
			if diff := cmp.Diff(want, d.contents(t)); diff == "" {
				t.Fatal("no harm was done")
			}
			d.dnsReconcile(t)
			// The controller that aggregates roles may write once more.
			var diff string
			err := wait.PollUntilContextTimeout(t.Context(), waitInterval, 5*time.Second, true, func(context.Context) (bool, error) {
				if diff = cmp.Diff(want, d.contents(t)); diff != "" {
					d.dnsReconcile(t)
				}
				return diff == "", nil
			})
			if err != nil {
				t.Errorf("after the visits (-want +got):\n%s", diff)
			}
		})
	}
}

func testDNSDisabled(t *testing.T, d *dnsTest) {
	// One that the tenant has made its own stays.
	configMap := &corev1.ConfigMap{ObjectMeta: deploymentOf().ObjectMeta}
	edit(t, d, configMap, func(o *corev1.ConfigMap) { o.Labels = nil })
	d.changeClass(t, func(class *tenancyv1alpha1.ClassDNS) { class.Disabled = true })
	d.visit(t, metav1.ConditionFalse, tenancyv1alpha1.ReasonDisabled)
	eventually(t, "nothing but the tenant's is left", func(context.Context) error {
		if contents := d.contents(t); len(contents) != 1 || contents["*v1.ConfigMap"] == nil {
			return fmt.Errorf("left: %v", contents)
		}
		return nil
	})
	mustReconcile(t, d.reconciler(nil), d.virtualCluster)
	if err := d.wantCondition(t.Context(), d.virtualCluster, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Error(err)
	}
	d.deleteInTenant(t, configMap)
	d.changeClass(t, func(class *tenancyv1alpha1.ClassDNS) { class.Disabled = false })
	d.visit(t, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning)
	if got, want := len(d.contents(t)), len(d.wanted(t)); got != want {
		t.Errorf("%d objects were made again, want %d", got, want)
	}
}

// testDNSConflict: what the tenant made itself is neither taken over nor deleted.
func testDNSConflict(t *testing.T, d *dnsTest) {
	d.deleteInTenant(t, serviceOf())
	for name, own := range map[string]*corev1.Service{
		"name":    serviceOf(),
		"address": {ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "mine"}, Spec: corev1.ServiceSpec{ClusterIP: "10.204.0.10"}},
	} {
		t.Run(name, func(t *testing.T) {
			own.Spec.Ports = []corev1.ServicePort{{Port: 53, Protocol: corev1.ProtocolUDP}}
			eventually(t, "the tenant makes its own", func(ctx context.Context) error { return d.tenant.Create(ctx, own) })
			d.visit(t, metav1.ConditionFalse, tenancyv1alpha1.ReasonConflict)
			version := own.ResourceVersion
			if err := d.tenant.Get(t.Context(), client.ObjectKeyFromObject(own), own); err != nil || own.ResourceVersion != version {
				t.Errorf("the tenant's Service: version %s, was %s (%v)", own.ResourceVersion, version, err)
			}
			d.deleteInTenant(t, own)
		})
	}
	d.visit(t, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning)
}

// denyAll makes the tenant refuse every write in kube-system until the test ends.
func (d *dnsTest) denyAll(t *testing.T) {
	t.Helper()
	every := []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"*"}},
	}}}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "deny"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "kube-system"}},
				ResourceRules:     every,
			},
			Validations: []admissionregistrationv1.Validation{{Expression: "false", Message: "not\x1b[2Jhere"}},
		},
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "deny"},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: "deny", ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}
	takes := func(ctx context.Context) error {
		probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "probe"}}
		return d.tenant.Create(ctx, probe, client.DryRunAll)
	}
	for _, object := range []client.Object{policy, binding} {
		if err := d.tenant.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, object := range []client.Object{policy, binding} {
			if err := d.tenant.Delete(ctx, object); err != nil {
				t.Error(err)
			}
		}
		err := wait.PollUntilContextTimeout(ctx, waitInterval, waitTimeout, true, func(ctx context.Context) (bool, error) { return takes(ctx) == nil, nil })
		if err != nil {
			t.Errorf("the tenant still refuses everything: %v", err)
		}
	})
	eventually(t, "the tenant refuses", func(ctx context.Context) error {
		if takes(ctx) == nil {
			return fmt.Errorf("it still takes objects")
		}
		return nil
	})
}

// testDNSDenied: a tenant that refuses what is its own good is told so, and
// costs it nothing but its DNS.
func testDNSDenied(t *testing.T, d *dnsTest) {
	d.deleteInTenant(t, deploymentOf())
	d.denyAll(t)
	got := d.visit(t, metav1.ConditionFalse, tenancyv1alpha1.ReasonRefused)
	if !strings.Contains(got.Message, "Deployment kube-system/coredns") || strings.ContainsRune(got.Message, '\x1b') {
		t.Errorf("message %q", got.Message)
	}
	mustReconcile(t, d.reconciler(nil), d.virtualCluster)
	if err := d.wantCondition(t.Context(), d.virtualCluster, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Errorf("the virtual cluster is not Ready for it: %v", err)
	}
}

// testDNSHangs: a webhook that never answers holds a visit for a few seconds,
// and the virtual cluster's own reconcile not at all.
func testDNSHangs(t *testing.T, d *dnsTest) {
	d.dnsReconcile(t)
	d.deleteInTenant(t, deploymentOf())
	release := make(chan struct{})
	hang := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(hang.Close)
	t.Cleanup(func() { close(release) })
	every := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.OperationAll},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{"*"}, APIVersions: []string{"*"}, Resources: []string{"deployments"}},
	}}
	webhook := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "hang"},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "hang.example.test", Rules: every, AdmissionReviewVersions: []string{"v1"}, TimeoutSeconds: new(int32(30)),
			SideEffects: new(admissionregistrationv1.SideEffectClassNone),
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      new(hang.URL),
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hang.Certificate().Raw}),
			},
		}},
	}
	if err := d.tenant.Create(t.Context(), webhook); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.deleteInTenantAfter(t, webhook) })
	eventually(t, "the webhook hangs", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		probe := deploymentOf()
		probe.Name = "probe"
		probe.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
		probe.Spec.Template.Labels = probe.Spec.Selector.MatchLabels
		probe.Spec.Template.Spec.Containers = []corev1.Container{{Name: "a", Image: "a"}}
		if err := d.tenant.Create(ctx, probe, client.DryRunAll); ctx.Err() == nil {
			return fmt.Errorf("it was answered: %w", err)
		}
		return nil
	})
	started := time.Now()
	visited := make(chan time.Duration, 1)
	go func() {
		d.dnsReconcile(t)
		visited <- time.Since(started)
	}()
	mustReconcile(t, d.reconciler(nil), d.virtualCluster)
	if err := d.wantCondition(t.Context(), d.virtualCluster, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Error(err)
	}
	select {
	case took := <-visited:
		t.Errorf("the visit took %s: it did not meet the webhook", took)
	default:
	}
	if took := <-visited; took > 20*time.Second {
		t.Errorf("the visit took %s", took)
	}
	if err := d.wantCondition(t.Context(), d.virtualCluster, tenancyv1alpha1.ConditionDNSReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonRefused); err != nil {
		t.Error(err)
	}
}

func (d *dnsTest) deleteInTenantAfter(t *testing.T, object client.Object) {
	t.Helper()
	if err := d.tenant.Delete(context.WithoutCancel(t.Context()), object); err != nil {
		t.Error(err)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/dns"
)

// imageCoreDNS is in the local super cluster for its own DNS.
const imageCoreDNS = "registry.k8s.io/coredns/coredns:v1.15.0"

// What the stub upstream answers: the one name it should be asked for, and an
// address that tells that it was asked for a name it should never have seen.
const (
	outsideName, outsideIP = "www.example.test", "192.0.2.80"
	leakedIP, leakedName   = "192.0.2.66", "leaked.example.test"
)

// TestDNS: the pods of a tenant resolve their own names and those of the
// outside, and nothing of the super cluster or of another tenant.
func TestDNS(t *testing.T) {
	named := newTenantOf(t, "named", classWithUpstream(t, "dns-upstream", startUpstream(t)))
	alone := newTenant(t, "unnamed") // of the default class, which has no upstream.
	for _, tn := range []*tenant{named, alone} {
		dnsReady(t, tn)
	}
	makeNamed(t, named)
	pod := named.waitRunning(t, "team", "client")
	other := newPod("default", "client")
	if err := alone.client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	alone.waitRunning(t, "default", "client")
	database := []string{named.waitRunning(t, "team", "db-0").Status.PodIP, named.waitRunning(t, "team", "db-1").Status.PodIP}
	web := clusterIPOf(t, named, "team", "web")
	own, err := dns.Address(netip.MustParsePrefix(named.object.Status.Network.ServiceCIDR))
	if err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		query string
		want  []string
	}{
		"a Service":                      {"web.team.svc.cluster.local", []string{web}},
		"the API server":                 {"kubernetes.default.svc.cluster.local", []string{clusterIPOf(t, named, "default", "kubernetes")}},
		"a headless Service":             {"db.team.svc.cluster.local", database},
		"a pod of a StatefulSet":         {"db-0.db.team.svc.cluster.local", database[:1]},
		"an ExternalName":                {"outside.team.svc.cluster.local", []string{outsideIP}},
		"a name outside":                 {outsideName, []string{outsideIP}},
		"its own DNS, not the super one": {"kube-dns.kube-system.svc.cluster.local", []string{own.String()}},
		"a Service of the super cluster": {"vn-agent.vc-system.svc.cluster.local", nil},
		"its Service in the super one":   {"web." + named.names().Namespace("team") + ".svc.cluster.local", nil},
		"the super cluster's addresses":  {"10.0.96.10.in-addr.arpa", nil},
		"a Service that is not there":    {"nothing.team.svc.cluster.local", nil},
	} {
		t.Run(name, func(t *testing.T) { resolves(t, named, "team", tc.query, tc.want) })
	}
	t.Run("an ExternalName is an alias", func(t *testing.T) {
		if out := nslookup(t, named, "team", "outside.team.svc.cluster.local"); !strings.Contains(out, outsideName) {
			t.Errorf("no alias in:\n%s", out)
		}
	})
	t.Run("the name of an address", func(t *testing.T) {
		for address, want := range map[string]string{web: "web.team.svc.cluster.local", superDNS(t): "", superAPI(t): ""} {
			out := nslookup(t, named, "team", address)
			if want != "" && !strings.Contains(out, want) || strings.Contains(out, leakedName) || want == "" && strings.Contains(out, "name =") {
				t.Errorf("%s is answered, want %q:\n%s", address, want, out)
			}
		}
	})
	t.Run("short names", func(t *testing.T) {
		for _, host := range []string{"web", "web.team", "web.team.svc"} {
			answer := named.kubectl(t, "exec", "-n", "team", pod.Name, "--", "wget", "-qO-",
				"http://127.0.0.1:8080/dial?protocol=http&port=80&request=hostname&host="+host)
			if !strings.Contains(answer, `"responses":["client"]`) {
				t.Errorf("%s: %s", host, answer)
			}
		}
	})
	t.Run("another tenant's Service", func(t *testing.T) { resolves(t, alone, "default", "web.team.svc.cluster.local", nil) })
	t.Run("outside, without an upstream", func(t *testing.T) {
		started := time.Now()
		resolves(t, alone, "default", outsideName, nil)
		if took := time.Since(started); took > 4*time.Second {
			t.Errorf("it took %s to learn that there is no such name", took)
		}
	})
	t.Run("runs in the sandbox", func(t *testing.T) { dnsIsSandboxed(t, named) })
}

// startUpstream runs a DNS server in the super cluster that knows one name, and
// answers everything else in a way that gives it away. It returns its address.
func startUpstream(t *testing.T) string {
	t.Helper()
	const name = "dns-upstream"
	meta := metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: map[string]string{"app": name}}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: meta.Labels, Ports: []corev1.ServicePort{
		{Name: "udp", Port: 53, TargetPort: intstr.FromInt32(1053), Protocol: corev1.ProtocolUDP},
		{Name: "tcp", Port: 53, TargetPort: intstr.FromInt32(1053), Protocol: corev1.ProtocolTCP},
	}}}
	for _, object := range []client.Object{
		&corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"Corefile": `example.test:1053 {
    template IN A ` + outsideName + ` {
        answer "{{ .Name }} 60 IN A ` + outsideIP + `"
    }
    template IN ANY {
        rcode NXDOMAIN
    }
}
.:1053 {
    template IN A {
        answer "{{ .Name }} 60 IN A ` + leakedIP + `"
    }
    template IN PTR {
        answer "{{ .Name }} 60 IN PTR ` + leakedName + `."
    }
}
`}},
		&corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(1)),
			Containers: []corev1.Container{{
				Name: "main", Image: imageCoreDNS, Args: []string{"-conf", "/etc/coredns/Corefile"},
				VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/coredns"}},
			}},
			Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{
				ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: name}},
			}}},
		}},
		service,
	} {
		createInSuper(t, object)
	}
	return service.Spec.ClusterIP
}

// createInSuper creates an object and deletes it when the test ends.
func createInSuper(t *testing.T, object client.Object) {
	t.Helper()
	// An earlier run on a cluster that was kept may still be deleting its own.
	eventually(t, time.Minute, "creating "+object.GetName(), func(ctx context.Context) error { return superClient.Create(ctx, object) })
	t.Cleanup(func() {
		if err := client.IgnoreNotFound(superClient.Delete(context.WithoutCancel(t.Context()), object)); err != nil {
			t.Error(err)
		}
	})
}

// classWithUpstream makes a class like the default one, whose tenants ask an upstream.
func classWithUpstream(t *testing.T, name, upstream string) string {
	t.Helper()
	class := &tenancyv1alpha1.VirtualClusterClass{}
	if err := superClient.Get(t.Context(), client.ObjectKey{Name: "default"}, class); err != nil {
		t.Fatal(err)
	}
	class.ObjectMeta = metav1.ObjectMeta{Name: name}
	class.Spec.DNS.UpstreamNameservers = []string{upstream}
	createInSuper(t, class)
	return name
}

// newTenantOf is newTenant with another class than the default.
func newTenantOf(t *testing.T, name, class string) *tenant {
	t.Helper()
	eventually(t, time.Minute, "the end of an earlier "+name, func(ctx context.Context) error {
		return gone(ctx, client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: name}, &tenancyv1alpha1.VirtualCluster{})
	})
	t.Cleanup(func() { deleteTenant(t, name) })
	must(t, "kubectl-vc", "create", name, "--class", class, "--wait", "--timeout=90s")
	return openTenant(t, name)
}

func dnsReady(t *testing.T, tn *tenant) {
	t.Helper()
	started := time.Now()
	eventually(t, time.Minute, "DNSReady of "+tn.name, func(ctx context.Context) error {
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(tn.object), tn.object); err != nil {
			return err
		}
		if got := condition(tn.object, tenancyv1alpha1.ConditionDNSReady); got.Status != metav1.ConditionTrue {
			return fmt.Errorf("%s: %s", got.Reason, got.Message)
		}
		return nil
	})
	t.Logf("%s: DNSReady %.1f s after Ready was seen", tn.name, time.Since(started).Seconds())
}

// makeNamed makes what is to be found by name, in namespace team.
func makeNamed(t *testing.T, tn *tenant) {
	t.Helper()
	labels := map[string]string{"app": "db"}
	template := newPod("", "", func(pod *corev1.Pod) { pod.Labels = labels })
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "team", Name: name} }
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}},
		newPod("team", "client"),
		&corev1.Service{ObjectMeta: meta("web"), Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "client"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}},
		}},
		&corev1.Service{ObjectMeta: meta("db"), Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone, Selector: labels}},
		&corev1.Service{ObjectMeta: meta("outside"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: outsideName}},
		&appsv1.StatefulSet{ObjectMeta: meta("db"), Spec: appsv1.StatefulSetSpec{
			ServiceName: "db", Replicas: new(int32(2)), PodManagementPolicy: appsv1.ParallelPodManagement,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: template.ObjectMeta, Spec: template.Spec},
		}},
	} {
		// The service account of a new namespace takes a moment.
		eventually(t, 20*time.Second, "creating "+object.GetName(), func(ctx context.Context) error { return tn.client.Create(ctx, object) })
	}
}

// nslookup asks from the tenant's pod "client", which has no such name if it fails.
func nslookup(t *testing.T, tn *tenant, namespace, query string) string {
	t.Helper()
	stdout, _, err := try(t.Context(), nil, "kubectl", "--kubeconfig", tn.kubeconfig, "exec", "-n", namespace, "client", "--", "nslookup", query)
	if err != nil {
		return err.Error()
	}
	return stdout
}

// answered finds the addresses of an answer; the server's own is written with its port.
var answered = regexp.MustCompile(`(?m)^Address(?: \d+)?: ([0-9.]+)\s*$`)

// resolves waits until a name has exactly these addresses: endpoints take a moment.
func resolves(t *testing.T, tn *tenant, namespace, query string, want []string) {
	t.Helper()
	want = slices.Sorted(slices.Values(want))
	eventually(t, 20*time.Second, "the answer for "+query, func(context.Context) error {
		out := nslookup(t, tn, namespace, query)
		var got []string
		for _, match := range answered.FindAllStringSubmatch(out, -1) {
			got = append(got, match[1])
		}
		slices.Sort(got)
		if !slices.Equal(slices.Compact(got), want) {
			return fmt.Errorf("got %v, want %v:\n%s", got, want, out)
		}
		if len(want) == 0 && !strings.Contains(out, "NXDOMAIN") {
			return fmt.Errorf("want NXDOMAIN:\n%s", out)
		}
		return nil
	})
}

func clusterIPOf(t *testing.T, tn *tenant, namespace, name string) string {
	t.Helper()
	service := &corev1.Service{}
	if err := tn.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, service); err != nil {
		t.Fatal(err)
	}
	return service.Spec.ClusterIP
}

// superDNS and superAPI are addresses that only the super cluster's DNS has names for.
func superDNS(t *testing.T) string { return superIP(t, metav1.NamespaceSystem, "kube-dns") }
func superAPI(t *testing.T) string { return superIP(t, metav1.NamespaceDefault, "kubernetes") }

func superIP(t *testing.T, namespace, name string) string {
	t.Helper()
	service := &corev1.Service{}
	if err := superClient.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, service); err != nil {
		t.Fatal(err)
	}
	return service.Spec.ClusterIP
}

// dnsIsSandboxed: the platform's own pod in a tenant is a pod like the tenant's.
func dnsIsSandboxed(t *testing.T, tn *tenant) {
	pods := &corev1.PodList{}
	if err := superClient.List(t.Context(), pods, client.InNamespace(tn.names().Namespace(metav1.NamespaceSystem))); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("%d pods", len(pods.Items))
	}
	if class := pods.Items[0].Spec.RuntimeClassName; class == nil || *class != "gvisor" {
		t.Errorf("RuntimeClass %v", class)
	}
	for _, nameserver := range pods.Items[0].Spec.DNSConfig.Nameservers {
		if nameserver == superDNS(t) {
			t.Error("its resolver is the super cluster's")
		}
	}
}

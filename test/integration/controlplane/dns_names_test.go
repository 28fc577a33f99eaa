// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// coreDNS is where `make bin/coredns` puts it, from this folder.
const coreDNS = "../../../bin/coredns"

// What the upstream of the test answers: the one name that it should be asked
// for, and what tells that it was asked for more.
const (
	upstreamName, upstreamIP = "www.example.test.", "192.0.2.80"
	leakIP, leakName         = "192.0.2.66", "leaked.example.test."
)

// testDNSNames runs CoreDNS, with the configuration and the rights that were
// made for it and nothing else, and asks it for names: of the tenant, of the
// outside, and of the super cluster.
func testDNSNames(t *testing.T, d *dnsTest) {
	upstream := runCoreDNS(t, fmt.Sprintf(`.:1053 {
    template IN A %[1]s {
        answer "{{ .Name }} 60 IN A %[2]s"
    }
    template IN A local arpa {
        answer "{{ .Name }} 60 IN A %[3]s"
    }
    template IN PTR {
        answer "{{ .Name }} 60 IN PTR %[4]s"
    }
    template IN ANY {
        rcode NXDOMAIN
    }
}
`, upstreamName, upstreamIP, leakIP, leakName))
	d.makeNames(t)
	for name, tc := range map[string]struct {
		upstreams []string
		outside   []string
	}{
		"with an upstream":    {[]string{"192.0.2.53"}, []string{upstreamIP}},
		"without an upstream": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			resolver := resolverAt(runCoreDNS(t, d.corefile(t, tc.upstreams, upstream)))
			for query, want := range map[string][]string{
				"web.team.svc.cluster.local.":             {"10.204.0.80"},
				"kubernetes.default.svc.cluster.local.":   {"10.204.0.1"},
				"kube-dns.kube-system.svc.cluster.local.": {"10.204.0.10"},
				"db.team.svc.cluster.local.":              {"10.244.1.10", "10.244.1.11"},
				"db-0.db.team.svc.cluster.local.":         {"10.244.1.10"},
				"outside.team.svc.cluster.local.":         tc.outside,
				upstreamName:                              tc.outside,
				"other.example.test.":                     nil,
				"vn-agent.vc-system.svc.cluster.local.":   nil,
				"db-2.db.team.svc.cluster.local.":         nil,
				"cluster.local.":                          nil,
			} {
				eventually(t, query+" is answered", func(ctx context.Context) error {
					got, err := lookup(ctx, resolver.LookupHost, query)
					if diff := cmp.Diff(want, got); diff != "" || err != nil {
						return fmt.Errorf("%w: %s", err, diff)
					}
					return nil
				})
			}
			for address, want := range map[string][]string{
				"10.204.0.80": {"web.team.svc.cluster.local."}, "10.244.1.10": {"db-0.db.team.svc.cluster.local."},
				"10.96.0.10": nil, "10.204.0.77": nil, "172.20.0.1": nil, "192.168.1.1": nil, "100.64.0.1": nil, "fd00::1": nil,
			} {
				if got, err := lookup(t.Context(), resolver.LookupAddr, address); err != nil || !slices.Equal(got, want) {
					t.Errorf("the name of %s = %v, %v; want %v", address, got, err, want)
				}
			}
		})
	}
}

// lookup returns sorted answers, and none if the server says that there is no such name.
func lookup(ctx context.Context, ask func(context.Context, string) ([]string, error), query string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	got, err := ask(ctx, query)
	var failure *net.DNSError
	if errors.As(err, &failure) && failure.IsNotFound {
		return nil, nil
	}
	slices.Sort(got)
	return got, err
}

func resolverAt(address string) *net.Resolver {
	return &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
}

// makeNames makes Services in the tenant, and endpoints as its controllers would.
func (d *dnsTest) makeNames(t *testing.T) {
	t.Helper()
	in := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "team", Name: name} }
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: in("db-1"), AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"10.244.1.10"}, Hostname: new("db-0")}, {Addresses: []string{"10.244.1.11"}, Hostname: new("db-1")},
		},
		Ports: []discoveryv1.EndpointPort{{Port: new(int32(5432))}},
	}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: "db"}
	for _, object := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}},
		&corev1.Service{ObjectMeta: in("web"), Spec: corev1.ServiceSpec{ClusterIP: "10.204.0.80", Ports: []corev1.ServicePort{{Port: 80}}}},
		&corev1.Service{ObjectMeta: in("db"), Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}},
		&corev1.Service{ObjectMeta: in("outside"), Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: strings.TrimSuffix(upstreamName, ".")}},
		slice,
	} {
		if err := d.tenant.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

// corefile returns the tenant's Corefile for a class with these upstreams, as
// it must be to run outside of a pod: with a kubeconfig of the pod's ServiceAccount,
// and with the upstream at a port.
func (d *dnsTest) corefile(t *testing.T, upstreams []string, upstream string) string {
	t.Helper()
	d.changeClass(t, func(class *tenancyv1alpha1.ClassDNS) { class.UpstreamNameservers = upstreams })
	d.dnsReconcile(t)
	configMap := &corev1.ConfigMap{}
	if err := d.tenant.Get(t.Context(), client.ObjectKeyFromObject(deploymentOf()), configMap); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: deploymentOf().ObjectMeta}
	token := &authenticationv1.TokenRequest{}
	if err := d.tenant.SubResource("token").Create(t.Context(), account, token); err != nil {
		t.Fatal(err)
	}
	kubeconfig := clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: d.server, CertificateAuthorityData: d.ca}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(kubeconfig, file); err != nil {
		t.Fatal(err)
	}
	out := strings.Replace(configMap.Data["Corefile"], "kubernetes {", "kubernetes {\n        kubeconfig "+file, 1)
	return strings.Replace(out, "forward . 192.0.2.53", "forward . "+upstream, 1)
}

// runCoreDNS runs CoreDNS until the test ends and returns its address. The
// ports of the configuration become free ones.
func runCoreDNS(t *testing.T, corefile string) string {
	t.Helper()
	port := freePort(t)
	corefile = strings.ReplaceAll(corefile, ":1053", ":"+port)
	for _, own := range []string{":8080", ":8181", ":9153"} {
		corefile = strings.ReplaceAll(corefile, own, "127.0.0.1:"+freePort(t))
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "Corefile")
	if err := os.WriteFile(file, []byte(corefile), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), coreDNS, "-quiet", "-conf", file)
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	command.Stdout, command.Stderr = t.Output(), t.Output()
	if err := command.Start(); err != nil {
		t.Fatalf("%v: run `make bin/coredns` first", err)
	}
	t.Cleanup(func() { _ = command.Wait() })
	return "127.0.0.1:" + port
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatalf("listening on %v", listener.Addr())
	}
	return strconv.Itoa(address.Port)
}

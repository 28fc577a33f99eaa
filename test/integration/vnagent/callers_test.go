// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

func ips(addresses ...string) []net.IP {
	parsed := make([]net.IP, 0, len(addresses))
	for _, address := range addresses {
		parsed = append(parsed, net.ParseIP(address))
	}
	return parsed
}

// caller is the certificate by which an API server is known to kubelets.
func caller(t *testing.T, authority *pki.Authority, commonName string) tls.Certificate {
	t.Helper()
	return pair(t, authority, pki.Leaf{CommonName: commonName, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

// get asks the agent directly, past any API server.
func (e *environment) get(t *testing.T, path string, certificates ...tls.Certificate) (code int, body string, err error) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(e.agentCA.CertPEM())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certificates, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+agentAddress+":10250"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

const logPath = "/containerLogs/default/web/main"

// testCallers: only the certificate of the tenant's own API server opens the door.
func (e *environment) testCallers(t *testing.T) {
	const name = "kube-apiserver-kubelet-client"
	good := caller(t, e.tenant.Authorities.KubeletClient, name)
	if code, _, err := e.get(t, logPath, good); err != nil || code != http.StatusOK {
		t.Fatalf("the tenant's API server: %d %v, want 200", code, err)
	}
	refused := map[string][]tls.Certificate{
		"no certificate":                 nil,
		"self-signed":                    {caller(t, authority(t, string(e.virtualCluster.UID)), name)},
		"the tenant's user CA":           {caller(t, e.tenant.Authorities.User, name)},
		"the tenant's platform CA":       {caller(t, e.tenant.Authorities.PlatformClient, name)},
		"another name":                   {caller(t, e.tenant.Authorities.KubeletClient, string(e.virtualCluster.UID))},
		"the super cluster's kubelet CA": {caller(t, e.super.Authorities.KubeletClient, name)},
		"a server's certificate":         {serverPair(t, e.tenant.Authorities.KubeletClient, agentAddress)},
		"a CA of the right name":         {caller(t, authority(t, e.tenant.Authorities.KubeletClient.Certificate().Subject.CommonName), name)},
	}
	for name, certificates := range refused {
		if code, body, err := e.get(t, logPath, certificates...); err == nil && code != http.StatusUnauthorized {
			t.Errorf("%s: %d %q, want it refused", name, code, body)
		}
	}
}

// testOtherTenant: a tenant with the same names finds nothing, and cannot tell that there is something.
func (e *environment) testOtherTenant(t *testing.T) {
	id := "other"
	authorities, err := pki.NewAuthorities(id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other := e.addTenant(t, id, authorities, e.tenantKubeconfig(t))
	certificate := caller(t, authorities.KubeletClient, "kube-apiserver-kubelet-client")
	var theirs, missing string
	eventually(t, func(context.Context) error {
		var code int
		code, theirs, err = e.get(t, logPath, certificate)
		return wantCode(code, http.StatusNotFound, err)
	})
	code, missing, err := e.get(t, "/containerLogs/default/no-such-pod/main", certificate)
	if err := wantCode(code, http.StatusNotFound, err); err != nil {
		t.Error(err)
	}
	if theirs != missing {
		t.Errorf("a pod of another tenant answers %q, no pod %q", theirs, missing)
	}
	if err := e.superClient.Delete(t.Context(), &tenancyv1alpha1.VirtualCluster{ObjectMeta: other.ObjectMeta}); err != nil {
		t.Fatal(err)
	}
}

// testRotatedAuthority: in a rotation a tenant's API server is known by either
// CA, and by the old no longer when it is over. The agent notices by the status,
// long before it would look again by itself.
func (e *environment) testRotatedAuthority(t *testing.T) {
	old, next := e.authorities(t, "rotated"), e.authorities(t, "rotated:2")
	virtualCluster := e.addTenant(t, "rotated", old, e.tenantKubeconfig(t))
	for _, step := range []struct {
		trusted []*pki.Authorities
		numbers []int32
	}{
		{[]*pki.Authorities{old}, []int32{1}},
		{[]*pki.Authorities{old, next}, []int32{1, 2}},
		{[]*pki.Authorities{next}, []int32{2}},
	} {
		e.trust(t, virtualCluster, pki.KubeletClientBundle(step.trusted), step.numbers)
		for _, generation := range []*pki.Authorities{next, old} {
			// One that is known finds no such pod; a stranger is told nothing.
			want := http.StatusUnauthorized
			if slices.Contains(step.trusted, generation) {
				want = http.StatusNotFound
			}
			certificate := caller(t, generation.KubeletClient, "kube-apiserver-kubelet-client")
			eventually(t, func(context.Context) error {
				code, _, err := e.get(t, logPath, certificate)
				if err != nil && want == http.StatusUnauthorized {
					return nil
				}
				return wantCode(code, want, err)
			})
		}
	}
	if err := e.superClient.Delete(t.Context(), &tenancyv1alpha1.VirtualCluster{ObjectMeta: virtualCluster.ObjectMeta}); err != nil {
		t.Fatal(err)
	}
}

func (e *environment) authorities(t *testing.T, id string) *pki.Authorities {
	t.Helper()
	authorities, err := pki.NewAuthorities(id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return authorities
}

// trust does what vc-manager does at each step of a rotation: first the Secret, then the status.
func (e *environment) trust(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster, bundle []byte, generations []int32) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: virtualCluster.Status.ControlPlane.Namespace, Name: tenancyv1alpha1.SecretAgentKubeconfig,
	}}
	if err := e.superClient.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); err != nil {
		t.Fatal(err)
	}
	before := secret.DeepCopy()
	secret.Data[tenancyv1alpha1.KeyKubeletClientCA] = bundle
	if err := e.superClient.Patch(t.Context(), secret, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	told := &tenancyv1alpha1.VirtualCluster{}
	if err := e.superClient.Get(t.Context(), client.ObjectKeyFromObject(virtualCluster), told); err != nil {
		t.Fatal(err)
	}
	was := told.DeepCopy()
	told.Status.Certificates = &tenancyv1alpha1.CertificatesStatus{TrustedGenerations: generations}
	if err := e.superClient.Status().Patch(t.Context(), told, client.MergeFrom(was)); err != nil {
		t.Fatal(err)
	}
}

func wantCode(code, want int, err error) error {
	if err != nil {
		return err
	}
	if code != want {
		return fmt.Errorf("status %d, want %d", code, want)
	}
	return nil
}

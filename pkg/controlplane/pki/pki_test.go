// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
)

var testNow = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func testAuthorities(t *testing.T) *Authorities {
	t.Helper()
	authorities, err := NewAuthorities("0f1e2d3c-0000-4000-8000-000000000001", testNow)
	if err != nil {
		t.Fatal(err)
	}
	return authorities
}

func testInput(authorities *Authorities, existing map[string][]byte) FilesInput {
	return FilesInput{
		Signing:          authorities,
		ServingDNSNames:  []string{"kubernetes", "localhost"},
		ServingIPs:       []net.IP{net.ParseIP("10.112.0.1"), net.ParseIP("127.0.0.1")},
		KubeletServingCA: []byte("kubelet serving CA"),
		Existing:         existing,
	}
}

func mustFiles(t *testing.T, in FilesInput, now time.Time) map[string][]byte {
	t.Helper()
	files, err := ControlPlaneFiles(in, now)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestTrustIsSeparate verifies every leaf against every authority: exactly the
// one that is meant for it accepts it, and only for its usage.
func TestTrustIsSeparate(t *testing.T) {
	authorities := testAuthorities(t)
	files := mustFiles(t, testInput(authorities, nil), testNow)
	cases := map[string]struct {
		cert   string
		issuer string
		usage  x509.ExtKeyUsage
		other  x509.ExtKeyUsage
	}{
		"serving":            {FileServingCert, "server-ca", x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		"controller manager": {FileControllerManagerCert, "platform-client-ca", x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		"front proxy":        {FileFrontProxyCert, "requestheader-ca", x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		"kubelet client":     {FileKubeletClientCert, "kubelet-client-ca", x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		"etcd peer":          {FileEtcdPeerCert, "etcd-ca", x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageCodeSigning},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			cert, err := parseCertificate(files[tc.cert])
			if err != nil {
				t.Fatal(err)
			}
			for slot, authority := range authorities.slots() {
				err := verify(cert, (*authority).CertPEM(), tc.usage)
				if got, want := err == nil, slot == tc.issuer; got != want {
					t.Errorf("verified by %s = %v, want %v (%v)", slot, got, want, err)
				}
			}
			if verify(cert, authorities.Data()[tc.issuer+".crt"], tc.other) == nil {
				t.Errorf("accepted for another usage than its own")
			}
		})
	}
}

func verify(cert *x509.Certificate, caPEM []byte, usage x509.ExtKeyUsage) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(caPEM)
	_, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: testNow, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

// TestClientBundle shows what the API server accepts from its clients: users
// and the platform, and no authority that is for something else.
func TestClientBundle(t *testing.T) {
	authorities := testAuthorities(t)
	files := mustFiles(t, testInput(authorities, nil), testNow)
	want := map[string]bool{"user-ca": true, "platform-client-ca": true}
	for slot, authority := range authorities.slots() {
		certPEM, _, err := (*authority).Issue(Leaf{CommonName: "x", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := parseCertificate(certPEM)
		if err != nil {
			t.Fatal(err)
		}
		if got := verify(cert, files[FileClientCA], x509.ExtKeyUsageClientAuth) == nil; got != want[slot] {
			t.Errorf("client of %s accepted = %v, want %v", slot, got, want[slot])
		}
	}
}

func TestOnlyTheUserAuthorityKeyIsGivenAway(t *testing.T) {
	authorities := testAuthorities(t)
	files := mustFiles(t, testInput(authorities, nil), testNow)
	for slot, authority := range authorities.slots() {
		for name, content := range files {
			if string(content) == string((*authority).KeyPEM()) && slot != "user-ca" {
				t.Errorf("file %s holds the key of %s", name, slot)
			}
		}
	}
	if diff := cmp.Diff(authorities.User.KeyPEM(), files[FileUserCAKey]); diff != "" {
		t.Errorf("the user CA's key differs: %s", diff)
	}
}

func TestFilesAreKeptUntilTheyMustChange(t *testing.T) {
	authorities := testAuthorities(t)
	first := mustFiles(t, testInput(authorities, nil), testNow)
	other := testAuthorities(t)
	leaves := []string{
		FileServingCert, FileServingKey, FileControllerManagerCert, FileControllerManagerKey, FileFrontProxyCert,
		FileFrontProxyKey, FileKubeletClientCert, FileKubeletClientKey, FileEtcdPeerCert, FileEtcdPeerKey,
	}
	cases := map[string]struct {
		now    time.Time
		change func(*FilesInput)
		want   []string
	}{
		"nothing changed":        {now: testNow},
		"half of the life":       {now: testNow.Add(LeafTTL / 2)},
		"two thirds of the life": {now: testNow.Add(LeafTTL * 2 / 3), want: leaves},
		"order of names": {now: testNow, change: func(in *FilesInput) {
			in.ServingDNSNames = []string{"localhost", "kubernetes"}
		}},
		"another address": {now: testNow, change: func(in *FilesInput) {
			in.ServingIPs = append(in.ServingIPs, net.ParseIP("192.0.2.1"))
		}, want: []string{FileServingCert, FileServingKey}},
		"key damaged": {now: testNow, change: func(in *FilesInput) {
			in.Existing[FileEtcdPeerKey] = first[FileServingKey]
		}, want: []string{FileEtcdPeerCert, FileEtcdPeerKey}},
		"another authority": {now: testNow, change: func(in *FilesInput) {
			changed := *in.Signing
			changed.Etcd = other.Etcd
			in.Signing = &changed
		}, want: []string{FileEtcdCA, FileEtcdPeerCert, FileEtcdPeerKey}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			existing := map[string][]byte{}
			for name, content := range first {
				existing[name] = content
			}
			in := testInput(authorities, existing)
			if tc.change != nil {
				tc.change(&in)
			}
			second := mustFiles(t, in, tc.now)
			changed := map[string]bool{}
			for name := range first {
				if string(first[name]) != string(second[name]) {
					changed[name] = true
				}
			}
			want := map[string]bool{}
			for _, name := range tc.want {
				want[name] = true
			}
			if diff := cmp.Diff(want, changed); diff != "" {
				t.Errorf("changed files (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuthoritiesRoundTrip(t *testing.T) {
	authorities := testAuthorities(t)
	read, err := ParseAuthorities(authorities.Data())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(authorities.Data(), read.Data()); diff != "" {
		t.Errorf("round trip: %s", diff)
	}
	for key := range authorities.Data() {
		t.Run("without "+key, func(t *testing.T) {
			data := authorities.Data()
			delete(data, key)
			if _, err := ParseAuthorities(data); err == nil {
				t.Errorf("accepted without %s", key)
			}
		})
	}
	mixed := authorities.Data()
	mixed["user-ca.key"] = mixed["etcd-ca.key"]
	if _, err := ParseAuthorities(mixed); err == nil {
		t.Errorf("accepted a key of another authority")
	}
}

func TestLifetimes(t *testing.T) {
	authority, err := NewAuthority("test", testNow)
	if err != nil {
		t.Fatal(err)
	}
	client := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	cases := map[string]struct {
		ttl  time.Duration
		want time.Time
	}{
		"default":                  {0, testNow.Add(365 * 24 * time.Hour)},
		"given":                    {time.Hour, testNow.Add(time.Hour)},
		"never past its authority": {20 * AuthorityTTL, testNow.Add(AuthorityTTL)},
	}
	serials := map[string]bool{authority.cert.SerialNumber.String(): true}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			certPEM, keyPEM, err := authority.Issue(Leaf{CommonName: "x", Usages: client, TTL: tc.ttl}, testNow)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
				t.Errorf("not a TLS pair: %v", err)
			}
			cert, err := parseCertificate(certPEM)
			if err != nil {
				t.Fatal(err)
			}
			if !cert.NotAfter.Equal(tc.want) {
				t.Errorf("NotAfter = %v, want %v", cert.NotAfter, tc.want)
			}
			if want := testNow.Add(-5 * time.Minute); !cert.NotBefore.Equal(want) {
				t.Errorf("NotBefore = %v, want %v", cert.NotBefore, want)
			}
			if serials[cert.SerialNumber.String()] {
				t.Errorf("serial number %v was used before", cert.SerialNumber)
			}
			serials[cert.SerialNumber.String()] = true
		})
	}
	if _, _, err := authority.Issue(Leaf{CommonName: "x"}, testNow); err == nil {
		t.Errorf("a leaf without usages was signed: it would be good for everything")
	}
}

func TestKubeconfig(t *testing.T) {
	out, err := Kubeconfig(KubeconfigInput{
		Server: "https://192.0.2.1:6443", CA: []byte("ca"), ClientCert: []byte("cert"), ClientKey: []byte("key"),
		ClusterName: "demo", UserName: "demo-admin", Namespace: "team",
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	context := config.Contexts[config.CurrentContext]
	if context == nil || context.Namespace != "team" {
		t.Fatalf("current context = %+v", context)
	}
	cluster, user := config.Clusters[context.Cluster], config.AuthInfos[context.AuthInfo]
	if cluster == nil || cluster.Server != "https://192.0.2.1:6443" || string(cluster.CertificateAuthorityData) != "ca" {
		t.Errorf("cluster = %+v", cluster)
	}
	if user == nil || string(user.ClientCertificateData) != "cert" || string(user.ClientKeyData) != "key" {
		t.Errorf("user = %+v", user)
	}
	if cert, key := KubeconfigPair(out); string(cert) != "cert" || string(key) != "key" {
		t.Errorf("KubeconfigPair = %q, %q", cert, key)
	}
	if cert, key := KubeconfigPair([]byte("{")); cert != nil || key != nil {
		t.Errorf("KubeconfigPair of garbage = %q, %q", cert, key)
	}
	if _, err := Kubeconfig(KubeconfigInput{Server: "https://192.0.2.1:6443"}); err == nil {
		t.Errorf("a kubeconfig that pins no CA was written")
	}
}

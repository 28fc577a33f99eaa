// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// TestParse: what would run a program, read a file of vc-manager's, speak for
// somebody else or trust anybody is refused, and said.
func TestParse(t *testing.T) {
	ca := authority(t).CertPEM()
	type parts struct {
		cluster *clientcmdapi.Cluster
		user    *clientcmdapi.AuthInfo
	}
	cases := map[string]struct {
		change func(parts)
		want   string // in the refusal; empty if there is none
	}{
		"a token":               {func(parts) {}, ""},
		"skips verification":    {func(p parts) { p.cluster.InsecureSkipTLSVerify = true }, "insecure-skip-tls-verify is not allowed"},
		"a proxy":               {func(p parts) { p.cluster.ProxyURL = "https://proxy.test" }, "proxy-url is not allowed"},
		"an authority's file":   {func(p parts) { p.cluster.CertificateAuthority = "/etc/ca.crt" }, "certificate-authority names a file"},
		"no authority":          {func(p parts) { p.cluster.CertificateAuthorityData = nil }, "certificate-authority-data is missing"},
		"no https":              {func(p parts) { p.cluster.Server = "http://a.test" }, "https URL"},
		"a program":             {func(p parts) { p.user.Exec = &clientcmdapi.ExecConfig{Command: "sh"} }, "exec is not allowed"},
		"a provider":            {func(p parts) { p.user.AuthProvider = &clientcmdapi.AuthProviderConfig{Name: "x"} }, "auth-provider is not allowed"},
		"a certificate's file":  {func(p parts) { p.user.ClientCertificate = "/etc/x.crt" }, "name files"},
		"a key's file":          {func(p parts) { p.user.ClientKey = "/etc/x.key" }, "name files"},
		"a token's file":        {func(p parts) { p.user.TokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token" }, "name files"},
		"a user":                {func(p parts) { p.user.Username = "x" }, "username and password"},
		"a password":            {func(p parts) { p.user.Password = "x" }, "username and password"},
		"somebody else":         {func(p parts) { p.user.Impersonate = "x" }, "impersonation"},
		"somebody else's UID":   {func(p parts) { p.user.ImpersonateUID = "x" }, "impersonation"},
		"somebody else's group": {func(p parts) { p.user.ImpersonateGroups = []string{"x"} }, "impersonation"},
		"somebody else's extra": {func(p parts) { p.user.ImpersonateUserExtra = map[string][]string{"x": {"y"}} }, "impersonation"},
		"no credentials":        {func(p parts) { p.user.Token = "" }, "has no credentials"},
		"a pair that is none": {func(p parts) {
			p.user.ClientCertificateData, p.user.ClientKeyData = []byte("x"), []byte("y")
		}, "do not belong together"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			given := parts{
				&clientcmdapi.Cluster{Server: "https://a.test", CertificateAuthorityData: ca, TLSServerName: "b.test"},
				&clientcmdapi.AuthInfo{Token: "secret"},
			}
			tc.change(given)
			content, err := clientcmd.Write(clientcmdapi.Config{
				CurrentContext: "c", Contexts: map[string]*clientcmdapi.Context{"c": {Cluster: "k", AuthInfo: "u"}},
				Clusters:  map[string]*clientcmdapi.Cluster{"k": given.cluster},
				AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": given.user},
			})
			if err != nil {
				t.Fatal(err)
			}
			access, err := Parse(content, time.Now())
			if tc.want != "" {
				var refusal *RefusalError
				if !errors.As(err, &refusal) || refusal.Reason != tenancyv1alpha1.ReasonKubeconfigInvalid || !strings.Contains(refusal.Message, tc.want) {
					t.Errorf("Parse: %v, want a refusal that says %q", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := []string{access.Server.String(), access.ServerName, string(access.CA), access.Token}
			if diff := cmp.Diff([]string{"https://a.test:443", "b.test", string(ca), "secret"}, got); diff != "" {
				t.Errorf("access (-want +got):\n%s", diff)
			}
		})
	}
}

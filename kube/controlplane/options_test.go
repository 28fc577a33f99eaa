// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"strings"
	"testing"
)

func validOptions() *Options {
	o := NewOptions()
	o.DataDir, o.PKIDir = "/data", "/pki"
	o.ServiceClusterIPRange = "10.112.4.0/22"
	o.AdvertiseAddress = "192.0.2.1"
	return o
}

func replicate(o *Options, name string) {
	o.Replicas, o.Member, o.PeerDomain = 3, name, "peers.vc.svc.cluster.local"
}

func TestValidate(t *testing.T) {
	tests := map[string]struct {
		change func(*Options)
		want   string // part of the error; empty: valid
	}{
		"valid":                     {func(*Options) {}, ""},
		"super":                     {func(o *Options) { o.Role = RoleSuper }, ""},
		"unknown role":              {func(o *Options) { o.Role = "both" }, `--role: "both"`},
		"no data dir":               {func(o *Options) { o.DataDir = "" }, "--data-dir is required"},
		"relative data dir":         {func(o *Options) { o.DataDir = "data" }, "--data-dir: \"data\" is not an absolute path"},
		"socket too long":           {func(o *Options) { o.DataDir = "/" + strings.Repeat("d", 98) }, "at most 97 characters"},
		"socket just fits":          {func(o *Options) { o.DataDir = "/" + strings.Repeat("d", 96) }, ""},
		"no pki dir":                {func(o *Options) { o.PKIDir = "" }, "--pki-dir is required"},
		"no service range":          {func(o *Options) { o.ServiceClusterIPRange = "" }, "--service-cluster-ip-range"},
		"host bits":                 {func(o *Options) { o.ServiceClusterIPRange = "10.112.5.0/22" }, "did you mean 10.112.4.0/22"},
		"no address":                {func(o *Options) { o.AdvertiseAddress = "" }, "--advertise-address"},
		"loopback":                  {func(o *Options) { o.AdvertiseAddress = "127.0.0.1" }, "pods cannot reach 127.0.0.1"},
		"bad bind address":          {func(o *Options) { o.BindAddress = "localhost" }, "--bind-address"},
		"bad port":                  {func(o *Options) { o.SecurePort = 70000 }, "--secure-port"},
		"three members":             {func(o *Options) { replicate(o, "control-plane-2") }, ""},
		"two members":               {func(o *Options) { replicate(o, "control-plane-1"); o.Replicas = 2 }, "--replicas: 2 is neither 1 nor 3"},
		"no members":                {func(o *Options) { o.Replicas = 0 }, "--replicas: 0"},
		"member without an ordinal": {func(o *Options) { replicate(o, "control-plane") }, `--member: "control-plane" does not end in`},
		"a fourth member":           {func(o *Options) { replicate(o, "control-plane-3") }, `--member: "control-plane-3"`},
		"ordinal with a zero":       {func(o *Options) { replicate(o, "control-plane-01") }, `--member: "control-plane-01"`},
		"a second of one":           {func(o *Options) { o.Member = "control-plane-1" }, "--member: control-plane-1 is not the first"},
		"no peer domain":            {func(o *Options) { replicate(o, "control-plane-0"); o.PeerDomain = "" }, "--peer-domain is required with --replicas=3"},
		"bad peer domain":           {func(o *Options) { o.PeerDomain = "peers..svc" }, `--peer-domain: "peers..svc"`},
		"relative intent":           {func(o *Options) { o.MembershipDir = "membership" }, "--membership-dir: \"membership\" is not an absolute path"},
		"issuer is no https":        {func(o *Options) { o.ServiceAccountIssuer = "http://x" }, "--service-account-issuer"},
		"audit level":               {func(o *Options) { o.AuditLevel = AuditRequest }, ""},
		"unknown level":             {func(o *Options) { o.AuditLevel = "All" }, `--audit-level: "All"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := validOptions()
			tc.change(o)
			err := o.Validate()
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("unexpected error: %v", err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error %v does not contain %q", err, tc.want)
			}
		})
	}
}

func TestLoopbackURL(t *testing.T) {
	tests := map[string]struct{ bind, want string }{
		"all addresses": {"0.0.0.0", "https://127.0.0.1:6443"},
		"all of IPv6":   {"::", "https://127.0.0.1:6443"},
		"one address":   {"192.0.2.7", "https://192.0.2.7:6443"},
		"one of IPv6":   {"2001:db8::1", "https://[2001:db8::1]:6443"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			o := validOptions()
			o.BindAddress = tc.bind
			if got := o.loopbackURL(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPKICheckNamesWhatIsMissing(t *testing.T) {
	err := pki(t.TempDir()).check()
	if err == nil || !strings.Contains(err.Error(), fileServingCert+" is missing") || !strings.Contains(err.Error(), fileServiceAccountKeys+" is missing") || strings.Contains(err.Error(), fileEncryptionKeys) {
		t.Errorf("the error does not name exactly the missing files: %v", err)
	}
}

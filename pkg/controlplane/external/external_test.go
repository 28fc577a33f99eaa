// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package external

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

func authority(t *testing.T) *pki.Authority {
	t.Helper()
	out, err := pki.NewAuthority("test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestForbidden: a name may resolve to anything, and some of it is nobody's cluster.
func TestForbidden(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1": true, "127.8.9.10": true, "::1": true, "0.0.0.0": true, "::": true,
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "fe80::1%eth0": true,
		"224.0.0.1": true, "255.255.255.255": true, "168.63.129.16": true, "100.100.100.200": true, "fd00:ec2::254": true,
		"10.0.0.1": false, "192.168.1.1": false, "203.0.113.7": false, "2001:db8::1": false,
	} {
		if got := Forbidden(netip.MustParseAddr(address)); got != want {
			t.Errorf("Forbidden(%s) = %t, want %t", address, got, want)
		}
	}
}

// TestDialer: what is judged is the address that is dialled, not its name.
func TestDialer(t *testing.T) {
	for _, address := range []string{"localhost:1", "127.0.0.1:1", "[::ffff:127.0.0.1]:1"} {
		if connection, err := Dialer()(t.Context(), "tcp", address); !errors.Is(err, errForbidden) {
			t.Errorf("dialling %s: %v, %v; want it forbidden", address, connection, err)
		}
	}
	access := &Access{CA: authority(t).CertPEM(), Token: "x"}
	var err error
	if access.Server, err = parseServer("https://localhost:1"); err != nil {
		t.Fatal(err)
	}
	cluster, err := Connect(access, Dialer())
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	var refusal *RefusalError
	if _, err := cluster.Inspect(context.WithoutCancel(t.Context())); !errors.As(err, &refusal) ||
		refusal.Reason != tenancyv1alpha1.ReasonKubeconfigInvalid || !strings.Contains(refusal.Message, "not dialled") {
		t.Errorf("Inspect: %v", err)
	}
}

func TestParseServer(t *testing.T) {
	for server, want := range map[string]string{
		"https://a.test":          "https://a.test:443",
		"https://a.test:6443/":    "https://a.test:6443",
		"https://[2001:db8::1]/x": "https://[2001:db8::1]:443/x",
		"http://a.test":           "",
		"https://u:p@a.test":      "",
		"https://a.test/?x=1":     "",
		"https://:6443":           "",
		"a.test:6443":             "",
		"":                        "",
	} {
		got, err := parseServer(server)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("parseServer(%q) = %v, %v; want %q", server, got, err, want)
		}
	}
}

// TestEndorsed: naming somebody's authority is not enough.
func TestEndorsed(t *testing.T) {
	now := time.Now()
	own, other := authority(t), authority(t)
	proof := func(by *pki.Authority, name string, ttl time.Duration) []byte {
		cert, _, err := by.Issue(pki.Leaf{CommonName: name, TTL: ttl, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, now)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	const name = "team/shop"
	cases := map[string]struct {
		ca, proof []byte
		want      bool
	}{
		"endorsed":           {own.CertPEM(), proof(own, name, time.Hour), true},
		"by another":         {own.CertPEM(), proof(other, name, time.Hour), false},
		"of another":         {own.CertPEM(), proof(own, "team/other", time.Hour), false},
		"no proof":           {own.CertPEM(), nil, false},
		"the authority":      {own.CertPEM(), own.CertPEM(), false},
		"nonsense":           {own.CertPEM(), []byte("x"), false},
		"no authority":       {[]byte("x"), proof(own, name, time.Hour), false},
		"two, both sign":     {append(other.CertPEM(), own.CertPEM()...), append(proof(own, name, time.Hour), proof(other, name, time.Hour)...), true},
		"several, one signs": {append(other.CertPEM(), own.CertPEM()...), proof(own, name, time.Hour), false},
	}
	for title, tc := range cases {
		t.Run(title, func(t *testing.T) {
			if err := Endorsed(tc.ca, tc.proof, name, now); (err == nil) != tc.want {
				t.Errorf("Endorsed: %v, want it endorsed: %t", err, tc.want)
			}
		})
	}
}

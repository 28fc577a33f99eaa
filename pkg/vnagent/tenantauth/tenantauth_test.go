// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package tenantauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"virtualcluster.io/virtualcluster/pkg/names"
)

// ca is a certificate authority, and pairs it has signed.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newCA(t *testing.T, name string, keyID []byte) *ca {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, SubjectKeyId: keyID,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, der := sign(t, template, template, nil)
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &ca{cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func sign(t *testing.T, template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return key, der
}

func (c *ca) leaf(t *testing.T, commonName string, usage x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	key, der := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: commonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{usage}, DNSNames: []string{"localhost"},
	}, c.cert, c.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

var (
	tenantA = names.Tenant{ID: "a", Name: "demo"}
	tenantB = names.Tenant{ID: "b", Name: "demo"}
)

func put(t *testing.T, authorities *Authorities, tenant names.Tenant, pem []byte) {
	t.Helper()
	if err := authorities.Put(tenant, pem); err != nil {
		t.Fatal(err)
	}
}

// shake makes a TLS handshake with a listener of ServerTLS and returns whom the server saw.
func shake(t *testing.T, authorities *Authorities, certificates ...tls.Certificate) (Caller, error) {
	t.Helper()
	serving := newCA(t, "serving", nil).leaf(t, "server", x509.ExtKeyUsageServerAuth)
	config := ServerTLS(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &serving, nil }, authorities)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			return
		}
		defer client.Close()
		conn := tls.Client(client, &tls.Config{Certificates: certificates, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}) //nolint:gosec // the test is about the client
		if conn.Handshake() == nil {
			_, _ = conn.Read(make([]byte, 1))
		}
	}()
	conn, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	server := conn.(*tls.Conn)
	if err := server.HandshakeContext(t.Context()); err != nil {
		return Caller{}, err
	}
	state := server.ConnectionState()
	if state.NegotiatedProtocol == "h2" {
		t.Error("HTTP/2 was negotiated")
	}
	caller, err := authorities.Identify(&state)
	if err != nil {
		t.Errorf("the handshake succeeded with a certificate that is then refused: %v", err)
	}
	return caller, err
}

func TestHandshake(t *testing.T) {
	caA, caB := newCA(t, "kubelet-client", nil), newCA(t, "kubelet-client", nil)
	stranger := newCA(t, "kubelet-client", nil)
	impostor := newCA(t, "kubelet-client", caA.cert.SubjectKeyId)
	const client, server = x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	intermediate := caA.leaf(t, ClientCommonName, client)
	intermediateCert, err := x509.ParseCertificate(intermediate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	leafCA := &ca{cert: intermediateCert, key: intermediate.PrivateKey.(*ecdsa.PrivateKey)}
	chained := leafCA.leaf(t, ClientCommonName, client)
	chained.Certificate = append(chained.Certificate, intermediate.Certificate[0])
	cases := map[string]struct {
		certificates []tls.Certificate
		want         string // the tenant's id; empty: refused
	}{
		"tenant a":                        {[]tls.Certificate{caA.leaf(t, ClientCommonName, client)}, "a"},
		"tenant b, a CA of the same name": {[]tls.Certificate{caB.leaf(t, ClientCommonName, client)}, "b"},
		"no certificate":                  {nil, ""},
		"another CA of the same name":     {[]tls.Certificate{stranger.leaf(t, ClientCommonName, client)}, ""},
		"another CA of the same key id":   {[]tls.Certificate{impostor.leaf(t, ClientCommonName, client)}, ""},
		"the name is a tenant's id":       {[]tls.Certificate{caA.leaf(t, "b", client)}, ""},
		"for a server":                    {[]tls.Certificate{caA.leaf(t, ClientCommonName, server)}, ""},
		"signed by a leaf":                {[]tls.Certificate{chained}, ""},
	}
	authorities := NewAuthorities(clock.RealClock{})
	put(t, authorities, tenantA, caA.pem)
	put(t, authorities, tenantB, caB.pem)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			caller, err := shake(t, authorities, tc.certificates...)
			switch {
			case tc.want == "" && err == nil:
				t.Errorf("it was taken for %q, want it refused", caller.Tenant.ID)
			case tc.want != "" && (err != nil || caller.Tenant.ID != tc.want):
				t.Errorf("it was taken for %q (%v), want %q", caller.Tenant.ID, err, tc.want)
			}
		})
	}
}

// TestTenantsComeAndGo: the set changes under a listener that stays.
func TestTenantsComeAndGo(t *testing.T) {
	old, rotated := newCA(t, "old", nil), newCA(t, "new", nil)
	leafOld, leafNew := old.leaf(t, ClientCommonName, x509.ExtKeyUsageClientAuth), rotated.leaf(t, ClientCommonName, x509.ExtKeyUsageClientAuth)
	authorities := NewAuthorities(clock.RealClock{})
	expect := func(step string, certificate tls.Certificate, want bool) Caller {
		t.Helper()
		caller, err := shake(t, authorities, certificate)
		if (err == nil) != want {
			t.Errorf("%s: %v, want accepted %v", step, err, want)
		}
		return caller
	}
	expect("unknown", leafOld, false)
	put(t, authorities, tenantA, old.pem)
	caller := expect("put", leafOld, true)
	put(t, authorities, tenantA, append(append([]byte{}, old.pem...), rotated.pem...))
	expect("rotating, old", leafOld, true)
	expect("rotating, new", leafNew, true)
	put(t, authorities, tenantA, rotated.pem)
	expect("rotated, old", leafOld, false)
	expect("rotated, new", leafNew, true)
	select {
	case <-caller.Gone:
		t.Error("a rotation ended the tenant's streams")
	default:
	}
	authorities.Remove(tenantA.ID)
	expect("removed", leafNew, false)
	select {
	case <-caller.Gone:
	default:
		t.Error("the removal did not end the tenant's streams")
	}
	if len(authorities.bySPKI)+len(authorities.byKeyID)+len(authorities.tenants) != 0 {
		t.Errorf("something is left of the tenant: %+v", authorities)
	}
}

func TestPutRefuses(t *testing.T) {
	caA := newCA(t, "a", nil)
	leaf := caA.leaf(t, "x", x509.ExtKeyUsageClientAuth)
	authorities := NewAuthorities(clock.RealClock{})
	put(t, authorities, tenantA, caA.pem)
	if err := authorities.Put(tenantB, caA.pem); !errors.Is(err, ErrAuthorityTaken) {
		t.Errorf("the CA of another tenant: %v, want ErrAuthorityTaken", err)
	}
	for name, content := range map[string][]byte{
		"nothing": nil, "no PEM": []byte("x"),
		"a leaf": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Certificate[0]}),
		"a key":  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: []byte("x")}),
	} {
		if err := authorities.Put(tenantB, content); err == nil {
			t.Errorf("%s was taken for a CA", name)
		}
	}
	if caller, err := shake(t, authorities, caA.leaf(t, ClientCommonName, x509.ExtKeyUsageClientAuth)); err != nil || caller.Tenant != tenantA {
		t.Errorf("after all that the CA stands for %+v (%v), want tenant a", caller, err)
	}
}

func TestExpiredIsRefused(t *testing.T) {
	caA := newCA(t, "a", nil)
	fake := clocktesting.NewFakePassiveClock(time.Now())
	authorities := NewAuthorities(fake)
	put(t, authorities, tenantA, caA.pem)
	leaf := caA.leaf(t, ClientCommonName, x509.ExtKeyUsageClientAuth)
	if _, err := shake(t, authorities, leaf); err != nil {
		t.Fatal(err)
	}
	fake.SetTime(time.Now().Add(2 * time.Hour))
	if _, err := shake(t, authorities, leaf); err == nil {
		t.Error("an expired certificate was accepted")
	}
}

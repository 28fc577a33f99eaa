// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestTwoGenerations: in a rotation every file of authorities accepts what
// either generation certifies, the one that signs certifies every leaf but the
// API server's own, and each generation knows itself in the files.
func TestTwoGenerations(t *testing.T) {
	old, next := testAuthorities(t), testAuthorities(t)
	in := testInput(next, nil)
	in.Trusted, in.Serving = []*Authorities{old, next}, old
	files := mustFiles(t, in, testNow)
	bundles := map[string]func(*Authorities) *Authority{
		FileServerCA:        func(a *Authorities) *Authority { return a.Server },
		FileClientCA:        func(a *Authorities) *Authority { return a.User },
		FileRequestHeaderCA: func(a *Authorities) *Authority { return a.RequestHeader },
		FileEtcdCA:          func(a *Authorities) *Authority { return a.Etcd },
	}
	for name, of := range bundles {
		for _, generation := range []*Authorities{old, next} {
			certPEM, _, err := of(generation).Issue(Leaf{CommonName: "x", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, testNow)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := parseCertificate(certPEM)
			if err != nil {
				t.Fatal(err)
			}
			if err := verify(cert, files[name], x509.ExtKeyUsageClientAuth); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for leaf, issuer := range map[string]*Authority{
		FileServingCert: old.Server, FileControllerManagerCert: next.PlatformClient, FileFrontProxyCert: next.RequestHeader,
		FileKubeletClientCert: next.KubeletClient, FileEtcdPeerCert: next.Etcd,
	} {
		cert, err := parseCertificate(files[leaf])
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.CheckSignatureFrom(issuer.Certificate()); err != nil {
			t.Errorf("%s: %v", leaf, err)
		}
	}
	if !bytes.Equal(files[FileUserCAKey], next.User.KeyPEM()) || !bytes.Equal(files[FileServiceAccountKey], next.ServiceAccountKey) {
		t.Errorf("another generation signs users or tokens")
	}
	keys := 0
	for block, rest := pem.Decode(files[FileServiceAccountPub]); block != nil; block, rest = pem.Decode(rest) {
		keys++
	}
	if keys != 2 {
		t.Errorf("%d keys verify tokens, want 2", keys)
	}
	got := []bool{old.Signs(files), next.Signs(files), old.TrustedBy(files), next.TrustedBy(files), testAuthorities(t).TrustedBy(files), old.Signs(nil)}
	if diff := cmp.Diff([]bool{false, true, true, true, false, false}, got); diff != "" {
		t.Errorf("what the generations know of themselves: %s", diff)
	}
}

// TestTimesOfGenerations: a generation tells by itself when it was made.
func TestTimesOfGenerations(t *testing.T) {
	authorities := testAuthorities(t)
	if got := authorities.Created(); !got.Equal(testNow) {
		t.Errorf("made at %s, want %s", got, testNow)
	}
	want := testNow.Add(AuthorityTTL * 2 / 3)
	if got := authorities.RenewAt(); got.After(want) || got.Before(want.Add(-backdate)) {
		t.Errorf("due at %s, want %s", got, want)
	}
}

// TestShorterLife: a class that shortens the life of leaves is heeded before the old ones are due.
func TestShorterLife(t *testing.T) {
	authorities := testAuthorities(t)
	first := mustFiles(t, testInput(authorities, nil), testNow)
	shorter := testInput(authorities, first)
	shorter.LeafTTL = 30 * time.Minute
	if diff := cmp.Diff(first, mustFiles(t, shorter, testNow.Add(18*time.Minute))); diff != "" {
		t.Errorf("renewed before two thirds of the shorter life")
	}
	second := mustFiles(t, shorter, testNow.Add(20*time.Minute))
	for _, leaf := range Leaves() {
		cert, err := parseCertificate(second[leaf+".crt"])
		if err != nil {
			t.Fatal(err)
		}
		if want := testNow.Add(50 * time.Minute); !cert.NotAfter.Equal(want) {
			t.Errorf("%s ends %s, want %s", leaf, cert.NotAfter, want)
		}
	}
}

func TestEncryptionKeys(t *testing.T) {
	keys, err := NewEncryptionKeys()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewEncryptionKeys()
	if err != nil || bytes.Equal(keys, other) {
		t.Errorf("the same twice (%v)", err)
	}
	cases := map[string]struct {
		content string
		wantErr bool
	}{
		"new":       {string(keys), false},
		"two":       {string(keys) + string(other), false},
		"none":      {"\n", true},
		"too short": {"c2hvcnQ=\n", true},
		"no base64": {"!\n", true},
		"one is":    {string(keys) + "!\n", true},
	}
	for name, tc := range cases {
		if err := CheckEncryptionKeys([]byte(tc.content)); (err != nil) != tc.wantErr {
			t.Errorf("%s: %v", name, err)
		}
	}
	in := testInput(testAuthorities(t), nil)
	if _, ok := mustFiles(t, in, testNow)[FileEncryptionKeys]; ok {
		t.Errorf("an empty file of keys")
	}
	in.EncryptionKeys = keys
	if got := mustFiles(t, in, testNow)[FileEncryptionKeys]; !bytes.Equal(got, keys) {
		t.Errorf("the keys are not among the files")
	}
}

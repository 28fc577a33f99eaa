// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"
)

// closes is a connection that counts how often it is really closed.
type closes struct {
	net.Conn
	count int
}

// Close counts.
func (c *closes) Close() error {
	c.count++
	return nil
}

// Write takes everything.
func (c *closes) Write(b []byte) (int, error) { return len(b), nil }

func TestKubeletConn(t *testing.T) {
	const life = time.Hour
	// A step lets time pass; then it does one thing, and says whether the
	// connection is closed after that.
	type step struct {
		after  time.Duration
		do     string
		closed bool
	}
	tests := map[string]struct {
		age   time.Duration // of the pair when the connection is closed first
		ends  time.Duration // when the connection's certificate ends, from then on
		steps []step
	}{
		"no renewal":                {10 * time.Minute, life, []step{{0, "close", true}}},
		"a renewal, and silence":    {time.Second, life, []step{{0, "close", false}, {lingerQuiet - 1, "", false}, {1, "", true}}},
		"a renewal, and a stream":   {time.Second, life, []step{{0, "close", false}, {50 * time.Second, "write", false}, {50 * time.Second, "write", false}, {lingerQuiet, "", true}}},
		"a renewal, and its user":   {time.Second, life, []step{{0, "close", false}, {0, "close", true}}},
		"its certificate ends":      {time.Second, 10 * time.Second, []step{{0, "close", false}, {7 * time.Second, "write", false}, {time.Second, "", true}}},
		"its certificate has ended": {time.Second, 0, []step{{0, "close", true}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				now := time.Now()
				defer synctest.Wait()
				file := filepath.Join(t.TempDir(), "pair.crt")
				writeCertificate(t, file, now.Add(life))
				if err := os.Chtimes(file, now.Add(-tc.age), now.Add(-tc.age)); err != nil {
					t.Fatal(err)
				}
				under := &closes{}
				conn := &kubeletConn{Conn: under, dialer: &kubeletDialer{certificate: file, clock: clock.RealClock{}}, end: now.Add(tc.ends)}
				conn.touch()
				for number, step := range tc.steps {
					<-time.After(step.after) // of the test's own clock
					synctest.Wait()
					var err error
					switch step.do {
					case "close":
						err = conn.Close()
					case "write":
						_, err = conn.Write([]byte("line"))
					}
					if err != nil {
						t.Fatal(err)
					}
					if closed := under.count > 0; closed != step.closed {
						t.Fatalf("step %d: closed is %v, want %v", number, closed, step.closed)
					}
				}
			})
		})
	}
}

// TestKubeletDialer: just after a renewal client-go may still use the pair
// before, so a connection has to be closed when that one ends.
func TestKubeletDialer(t *testing.T) {
	synctest.Test(t, testKubeletDialer)
}

func testKubeletDialer(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	file := filepath.Join(t.TempDir(), "pair.crt")
	dialer := &kubeletDialer{certificate: file, clock: clock.RealClock{}, dial: func(context.Context, string, string) (net.Conn, error) {
		return &closes{}, nil
	}}
	end := func() time.Time {
		conn, err := dialer.dialContext(t.Context(), "tcp", "192.0.2.1:10250")
		if err != nil {
			t.Fatal(err)
		}
		return conn.(*kubeletConn).end
	}
	if got := end(); !got.IsZero() {
		t.Errorf("without a certificate the connection is good until %s", got)
	}
	first, second := now.Add(time.Hour), now.Add(2*time.Hour)
	steps := []struct {
		what  string
		after time.Duration
		file  time.Time // the end of a new certificate
		want  time.Time
	}{
		{"the first pair", 0, first, first},
		{"later", time.Minute, time.Time{}, first},
		{"the second pair, just made", 0, second, first},
		{"before client-go's cache is gone", pairCache - 1, time.Time{}, first},
		{"after that", 1, time.Time{}, second},
	}
	for _, step := range steps {
		<-time.After(step.after)
		if !step.file.IsZero() {
			writeCertificate(t, file, step.file)
		}
		if got := end(); !got.Equal(step.want) {
			t.Errorf("%s: the connection is good until %s, want %s", step.what, got, step.want)
		}
	}
}

// writeCertificate writes a certificate that ends at a time, which has no part of a second.
func writeCertificate(t *testing.T, path string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

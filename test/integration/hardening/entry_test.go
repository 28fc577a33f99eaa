// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// TestEntry: who gets in, and how.
func TestEntry(t *testing.T) {
	controlPlane := controlplanetest.Start(t, controlplanetest.Options{})
	t.Run("Anonymous", func(t *testing.T) { testAnonymous(t, controlPlane) })
	t.Run("Profiles", func(t *testing.T) { testProfiles(t, controlPlane) })
	t.Run("TLS", func(t *testing.T) { testTLS(t, controlPlane) })
	t.Run("NoAuditLog", func(t *testing.T) {
		if lines := auditLog(t, controlPlane); len(lines) != 0 {
			t.Errorf("%d entries of an audit log that nobody asked for, the first: %+v", len(lines), lines[0])
		}
	})
}

// healthPaths are all that is there for everybody.
var healthPaths = []string{"/livez", "/readyz", "/healthz"}

// testAnonymous asks for every path that the API server lists, and for more,
// without a credential and with worthless ones.
func testAnonymous(t *testing.T, controlPlane *controlplanetest.Instance) {
	admin := adminClient(t, controlPlane)
	code, body := get(t, admin, controlPlane.Config.Host+"/", "")
	var listed struct{ Paths []string }
	if err := json.Unmarshal(body, &listed); err != nil || code != http.StatusOK || len(listed.Paths) < 50 {
		t.Fatalf("the list of paths: %d, %v, %d paths", code, err, len(listed.Paths))
	}
	paths := slices.Concat(listed.Paths, []string{
		"/", "/api/v1/secrets", "/api/v1/namespaces/kube-system/configmaps", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
		"/debug/pprof/", "/debug/pprof/profile", "/debug/flags/v", "/logs/", "/configz", "/metrics", "/version", "/livez/ping",
		"/readyz/etcd", "/healthz/etcd", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/livez/", "//livez", "/nothing",
	})
	anonymous := &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS(t, controlPlane)}, Timeout: 10 * time.Second}
	defer anonymous.CloseIdleConnections()
	for _, token := range []string{"", "worthless"} {
		for _, path := range paths {
			if slices.Contains(healthPaths, path) {
				continue
			}
			code, body := get(t, anonymous, controlPlane.Config.Host+path, token)
			if code != http.StatusUnauthorized && code != http.StatusForbidden {
				t.Errorf("GET %s with token %q: %d %.100s", path, token, code, body)
			}
		}
	}
	for _, path := range healthPaths {
		if code, body := get(t, anonymous, controlPlane.Config.Host+path, ""); code != http.StatusOK || string(body) != "ok" {
			t.Errorf("GET %s: %d %.100s, and probes have no credential", path, code, body)
		}
	}
	t.Logf("asked for %d paths", len(paths))
}

// testProfiles: profiles show memory of the process, so nobody gets them.
func testProfiles(t *testing.T, controlPlane *controlplanetest.Instance) {
	admin := adminClient(t, controlPlane)
	for _, path := range []string{"/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/flags/v"} {
		if code, body := get(t, admin, controlPlane.Config.Host+path, ""); code != http.StatusNotFound && code != http.StatusForbidden {
			t.Errorf("GET %s as administrator: %d %.100s", path, code, body)
		}
	}
}

// testTLS: what is not strong is not spoken.
func testTLS(t *testing.T, controlPlane *controlplanetest.Instance) {
	tests := map[string]struct {
		lowest, highest uint16
		suites          []uint16
		want            bool
	}{
		"1.3":               {tls.VersionTLS13, tls.VersionTLS13, nil, true},
		"1.2":               {tls.VersionTLS12, tls.VersionTLS12, nil, true},
		"1.1":               {tls.VersionTLS10, tls.VersionTLS11, nil, false},
		"1.0":               {tls.VersionTLS10, tls.VersionTLS10, nil, false},
		"1.2 with GCM":      {tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, true},
		"1.2 with CBC":      {tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}, false},
		"1.2 without ECDHE": {tls.VersionTLS12, tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}, false},
	}
	address := strings.TrimPrefix(controlPlane.Config.Host, "https://")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			config := clientTLS(t, controlPlane)
			config.MinVersion, config.MaxVersion, config.CipherSuites = tc.lowest, tc.highest, tc.suites
			connection, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
			if err == nil {
				_ = connection.Close()
			}
			if (err == nil) != tc.want {
				t.Errorf("handshake: %v, want it to succeed: %v", err, tc.want)
			}
		})
	}
}

func clientTLS(t *testing.T, controlPlane *controlplanetest.Instance) *tls.Config {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(controlPlane.Config.CAData) {
		t.Fatal("the control plane's authority cannot be read")
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func adminClient(t *testing.T, controlPlane *controlplanetest.Instance) *http.Client {
	t.Helper()
	admin, err := rest.HTTPClientFor(controlPlane.Config)
	if err != nil {
		t.Fatal(err)
	}
	return admin
}

// get returns the answer's code and at most 1 MiB of it.
func get(t *testing.T, client *http.Client, url, token string) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

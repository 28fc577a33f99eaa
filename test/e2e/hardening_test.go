// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// storageInside is where the local super cluster's volumes are for its node;
// the machine has them in the cluster's folder.
const storageInside = "/run/vc/storage/"

// TestHardening looks at the control plane of a tenant from where its users
// and, for the volume and the log, its operators are.
func TestHardening(t *testing.T) {
	class := newClass(t, "hardened", unchanged)
	tn := newTenantOf(t, "hardened", class.Name)
	t.Run("anonymous", func(t *testing.T) { testAnonymous(t, tn) })
	t.Run("profiles", func(t *testing.T) { testProfiles(t, tn) })
	t.Run("TLS", func(t *testing.T) { testTLS(t, tn) })
	t.Run("secrets at rest", func(t *testing.T) { testSecretsAtRest(t, tn) })
	t.Run("audit", func(t *testing.T) { testAudit(t, tn, class) })
}

// statusOf returns the code of the answer to a GET and the begin of its content.
func statusOf(t *testing.T, config *rest.Config, path string) (code int, content string) {
	t.Helper()
	config = rest.CopyConfig(config)
	config.Timeout = requestLimit
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, config.Host+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(http.MaxBytesReader(nil, response.Body, 1<<20)); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
	return response.StatusCode, body.String()
}

// testAnonymous: who has no credential, or a worthless one, sees whether the
// API server is healthy and nothing else.
func testAnonymous(t *testing.T, tn *tenant) {
	anonymous := rest.AnonymousClientConfig(tn.config)
	worthless := rest.CopyConfig(anonymous)
	worthless.BearerToken = "worthless"
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		if code, content := statusOf(t, anonymous, path); code != http.StatusOK || content != "ok" {
			t.Errorf("GET %s: %d %.100s, and probes have no credential", path, code, content)
		}
	}
	for _, path := range []string{
		"/", "/api", "/apis", "/version", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/.well-known/openid-configuration",
		"/livez/ping", "/readyz/etcd", "/debug/pprof/", "/logs/", "/api/v1/secrets", "/api/v1/nodes", "/nothing",
	} {
		for _, config := range []*rest.Config{anonymous, worthless} {
			code, content := statusOf(t, config, path)
			if code != http.StatusUnauthorized && code != http.StatusForbidden {
				t.Errorf("GET %s with token %q: %d %.100s", path, config.BearerToken, code, content)
			}
		}
	}
}

// testProfiles: profiles show memory of the process, so nobody gets them.
func testProfiles(t *testing.T, tn *tenant) {
	if code, content := statusOf(t, tn.config, "/api/v1/secrets"); code != http.StatusOK {
		t.Fatalf("the administrator is none: %d %.100s", code, content)
	}
	for _, path := range []string{"/debug/pprof", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1", "/debug/flags/v"} {
		if code, content := statusOf(t, tn.config, path); code != http.StatusNotFound && code != http.StatusForbidden {
			t.Errorf("GET %s as administrator: %d %.100s", path, code, content)
		}
	}
}

// testTLS: what is not strong is not spoken.
func testTLS(t *testing.T, tn *tenant) {
	for name, tc := range map[string]struct {
		lowest, highest uint16
		want            bool
	}{
		"1.0": {tls.VersionTLS10, tls.VersionTLS10, false},
		"1.1": {tls.VersionTLS10, tls.VersionTLS11, false},
		"1.2": {tls.VersionTLS12, tls.VersionTLS12, true},
		"1.3": {tls.VersionTLS13, tls.VersionTLS13, true},
	} {
		state, err := handshake(t.Context(), tn.config, tc.lowest, tc.highest)
		if (err == nil) != tc.want {
			t.Errorf("TLS %s: %v (version %x), want it to succeed: %t", name, err, state.Version, tc.want)
		}
	}
}

// handshake connects to the API server, and shows nothing of ourselves.
func handshake(ctx context.Context, config *rest.Config, lowest, highest uint16) (tls.ConnectionState, error) {
	tlsConfig, err := rest.TLSConfigFor(rest.AnonymousClientConfig(config))
	if err != nil {
		return tls.ConnectionState{}, err
	}
	tlsConfig.MinVersion, tlsConfig.MaxVersion = lowest, highest
	plain, err := (&tls.Dialer{Config: tlsConfig}).DialContext(ctx, "tcp", strings.TrimPrefix(config.Host, "https://"))
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer plain.Close()
	connection, ok := plain.(*tls.Conn)
	if !ok {
		return tls.ConnectionState{}, errors.New("the connection is not TLS")
	}
	return connection.ConnectionState(), nil
}

// testSecretsAtRest searches the volume of the database for what a Secret holds.
func testSecretsAtRest(t *testing.T, tn *tenant) {
	secretValue, openValue := "secret-"+rand.Text(), "open-"+rand.Text()
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sought"}, Data: map[string][]byte{"key": []byte(secretValue)}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "sought"}, Data: map[string]string{"key": openValue}},
	} {
		if err := tn.client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	found := searchVolume(t, tn.databaseDir(t), map[string]string{
		"the Secret": secretValue, "the Secret in base64": base64.StdEncoding.EncodeToString([]byte(secretValue)), "the ConfigMap": openValue,
	})
	if len(found["the ConfigMap"]) == 0 {
		t.Error("the ConfigMap is not found: this is not where the database is")
	}
	delete(found, "the ConfigMap")
	for what, files := range found {
		t.Errorf("%s lies as it is in %v", what, files)
	}
	read := &corev1.Secret{}
	if err := tn.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "sought"}, read); err != nil || string(read.Data["key"]) != secretValue {
		t.Errorf("the Secret is read as %q (%v)", read.Data["key"], err)
	}
}

// databaseDir is where the machine has the first replica's volume.
func (tn *tenant) databaseDir(t *testing.T) string {
	t.Helper()
	claim := &corev1.PersistentVolumeClaim{}
	key := client.ObjectKey{Namespace: tn.names().ControlPlaneNamespace(), Name: "data-control-plane-0"}
	if err := superClient.Get(t.Context(), key, claim); err != nil {
		t.Fatal(err)
	}
	volume := &corev1.PersistentVolume{}
	if err := superClient.Get(t.Context(), client.ObjectKey{Name: claim.Spec.VolumeName}, volume); err != nil {
		t.Fatal(err)
	}
	path := ""
	switch source := volume.Spec.PersistentVolumeSource; {
	case source.HostPath != nil:
		path = source.HostPath.Path
	case source.Local != nil:
		path = source.Local.Path
	}
	inside, ok := strings.CutPrefix(path, storageInside)
	if !ok {
		t.Fatalf("the volume lies in %q, want it below %s", path, storageInside)
	}
	return filepath.Join(localDir, "storage", inside)
}

// searchVolume returns, for each of the texts, the files that hold it.
func searchVolume(t *testing.T, dir string, texts map[string]string) map[string][]string {
	t.Helper()
	found, files := map[string][]string{}, 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // The control plane lives, and removes files of its own.
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files++
		for what, text := range texts {
			if bytes.Contains(content, []byte(text)) {
				found[what] = append(found[what], path)
			}
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("searching %s: %v, %d files", dir, err, files)
	}
	t.Logf("searched %d files", files)
	return found
}

// auditEntry is what the tests read of a line of the audit log.
type auditEntry struct {
	Kind, Level, Verb string
	ObjectRef         struct{ Resource, Name string }
}

// auditEntries are the lines of the first replica's log that are the audit log's.
func (tn *tenant) auditEntries(ctx context.Context) (entries []auditEntry, log string, err error) {
	log, _, err = try(ctx, nil, "kubectl", "--kubeconfig", superKubeconfig, "-n", tn.names().ControlPlaneNamespace(), "logs", "control-plane-0", "--tail=-1")
	for line := range strings.Lines(log) {
		var entry auditEntry
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Kind == "Event" {
			entries = append(entries, entry)
		}
	}
	return entries, log, err
}

// testAudit switches the audit log on, in the class: it is off by default, and
// never holds what Secrets do.
func testAudit(t *testing.T, tn *tenant, class *tenancyv1alpha1.VirtualClusterClass) {
	entries, log, err := tn.auditEntries(t.Context())
	if err != nil || len(entries) > 0 || log == "" {
		t.Fatalf("%d entries of an audit log that nobody asked for (%v, %d bytes of log)", len(entries), err, len(log))
	}
	changeClass(t, class, func(spec *tenancyv1alpha1.VirtualClusterClassSpec) {
		spec.ControlPlane.Audit.Level = tenancyv1alpha1.AuditRequestResponse
	})
	waitCondition(t, tn.object, toldWithin, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionFalse, tenancyv1alpha1.ReasonRollingOut)
	waitCondition(t, tn.object, rolledWithin, tenancyv1alpha1.ConditionUpToDate, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady)
	hidden, shown := "hidden-"+rand.Text(), "shown-"+rand.Text()
	object := metav1.ObjectMeta{Namespace: "default", Name: "audited"}
	account := &corev1.ServiceAccount{ObjectMeta: object}
	account.Annotations = map[string]string{"example.com/key": shown}
	for _, object := range []client.Object{&corev1.Secret{ObjectMeta: object, StringData: map[string]string{"key": hidden}}, account} {
		eventually(t, time.Minute, "creating a "+fmt.Sprintf("%T", object), func(ctx context.Context) error { return client.IgnoreAlreadyExists(tn.client.Create(ctx, object)) })
	}
	eventuallyEvery(t, costlyInterval, 20*time.Second, "both are in the audit log", func(ctx context.Context) error {
		entries, log, err = tn.auditEntries(ctx)
		levels := map[string]string{}
		for _, entry := range entries {
			if entry.Verb == "create" && entry.ObjectRef.Name == object.Name {
				levels[entry.ObjectRef.Resource] = entry.Level
			}
		}
		if err == nil && (levels["secrets"] != "Metadata" || levels["serviceaccounts"] != "RequestResponse") {
			err = fmt.Errorf("%d entries, levels %v", len(entries), levels)
		}
		return err
	})
	t.Logf("%d entries", len(entries))
	if !strings.Contains(log, shown) {
		t.Error("the log holds no content at all")
	}
	for _, value := range []string{hidden, base64.StdEncoding.EncodeToString([]byte(hidden))} {
		if strings.Contains(log, value) {
			t.Error("the log holds what a Secret does")
		}
	}
}

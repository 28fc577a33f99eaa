// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// auditEntry is what the tests read of an entry of the audit log.
type auditEntry struct {
	Kind       string
	Level      string
	Verb       string
	RequestURI string
	User       struct {
		Username string
		Extra    map[string][]string
	}
	ObjectRef      struct{ Resource, Subresource, Name string }
	ResponseStatus struct{ Code int }
}

func auditLog(t *testing.T, controlPlane *controlplanetest.Instance) []auditEntry {
	t.Helper()
	var entries []auditEntry
	for line := range bytes.Lines(controlPlane.Log(t)) {
		var entry auditEntry
		if json.Unmarshal(line, &entry) == nil && entry.Kind == "Event" {
			entries = append(entries, entry)
		}
	}
	return entries
}

// TestAuditLog: at the highest level the log holds what was sent, but never a
// Secret, a ConfigMap or a token.
func TestAuditLog(t *testing.T) {
	controlPlane := controlplanetest.Start(t, controlplanetest.Options{Arguments: []string{"--audit-level=RequestResponse"}})
	client, err := kubernetes.NewForConfig(controlPlane.Config)
	if err != nil {
		t.Fatal(err)
	}
	const hidden, shown = "value-that-is-nobodys-business", "value-that-may-be-read"
	object := metav1.ObjectMeta{Name: "audited"}
	if _, err := client.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: object, StringData: map[string]string{"key": hidden}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: object, Data: map[string]string{"key": hidden}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "audited", Annotations: map[string]string{"key": shown}}}
	if _, err := client.CoreV1().ServiceAccounts("default").Create(t.Context(), account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "audited", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	controlPlane.Stop(t) // so that all is written

	log := controlPlane.Log(t)
	for what, value := range map[string]string{
		"a Secret or ConfigMap": hidden, "a Secret in base64": base64.StdEncoding.EncodeToString([]byte(hidden)), "a token": token.Status.Token,
	} {
		if bytes.Contains(log, []byte(value)) {
			t.Errorf("the log holds the content of %s", what)
		}
	}
	if !bytes.Contains(log, []byte(shown)) {
		t.Error("the log holds no content at all")
	}
	levels, probes := map[string]string{}, 0
	for _, entry := range auditLog(t, controlPlane) {
		if entry.Verb == "create" && entry.ObjectRef.Name == "audited" {
			levels[entry.ObjectRef.Resource+"/"+entry.ObjectRef.Subresource] = entry.Level
		}
		if entry.RequestURI == "/readyz" {
			probes++
		}
	}
	if probes > 0 {
		t.Errorf("the log holds %d probes", probes)
	}
	for resource, want := range map[string]string{
		"secrets/": "Metadata", "configmaps/": "Metadata", "serviceaccounts/token": "Metadata", "serviceaccounts/": "RequestResponse",
	} {
		if levels[resource] != want {
			t.Errorf("the creation of %s is logged at level %q, want %q", resource, levels[resource], want)
		}
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package addon

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

func live(kind string, entries ...metav1.ManagedFieldsEntry) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{"kind": kind, "spec": map[string]any{}, "extra/key": "x"}}
	object.SetResourceVersion("7")
	object.SetManagedFields(entries)
	return object
}

func entry(manager, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, Subresource: subresource,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

// TestForeignKeys: what somebody else added to an object is found by who owns it.
func TestForeignKeys(t *testing.T) {
	const spec = `{"f:spec":{"f:paused":{}}}`
	cases := map[string]struct {
		live *unstructured.Unstructured
		want []string
	}{
		"nobody":                    {live("Deployment"), nil},
		"ourselves":                 {live("Deployment", entry(FieldManager, "", spec)), nil},
		"somebody":                  {live("Deployment", entry("kubectl-edit", "", spec)), []string{"spec"}},
		"two of them":               {live("Deployment", entry("a", "", spec), entry("b", "", `{"f:spec":{},"f:data":{}}`)), []string{"data", "spec"}},
		"a label":                   {live("Deployment", entry("kubectl-label", "", `{"f:metadata":{"f:labels":{}}}`)), nil},
		"status":                    {live("Deployment", entry("controller", "status", `{"f:spec":{},"f:status":{}}`)), nil},
		"secrets of an account":     {live("ServiceAccount", entry("x", "", `{"f:imagePullSecrets":{}}`)), nil},
		"fields that are not legal": {live("Deployment", entry("x", "", `[`), entry("y", "", `{".":{}}`)), nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, foreignKeys(tc.live)); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplacing(t *testing.T) {
	desired := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(1)}}}
	patch, err := replacing([]string{"extra/key", "spec", "unknown"}, desired, live("Deployment"))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"op":"replace","path":"/metadata/resourceVersion","value":"7"},` +
		`{"op":"remove","path":"/extra~1key"},{"op":"replace","path":"/spec","value":{"replicas":1}}]`
	if diff := cmp.Diff(want, string(patch)); diff != "" {
		t.Errorf("patch (-want +got):\n%s", diff)
	}
}

// TestOurs: neither taking the label away nor putting our name on something
// without having been applied makes a difference to whose it is.
func TestOurs(t *testing.T) {
	applied := entry(FieldManager, "", `{}`)
	applied.Operation = metav1.ManagedFieldsOperationApply
	label := live("Service")
	label.SetLabels(map[string]string{"tenancy.virtualcluster.io/managed-by": "vc-manager"})
	other := live("Service")
	other.SetLabels(map[string]string{"tenancy.virtualcluster.io/managed-by": "syncer"})
	cases := map[string]struct {
		live *unstructured.Unstructured
		want bool
	}{
		"applied":        {live("Service", applied), true},
		"labelled":       {label, true},
		"of another":     {other, false},
		"updated":        {live("Service", entry(FieldManager, "", `{}`)), false},
		"of the tenant":  {live("Service", entry("kubectl", "", `{}`)), false},
		"without traces": {live("Service"), false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := ours(tc.live); got != tc.want {
				t.Errorf("ours = %v, want %v", got, tc.want)
			}
		})
	}
}

// TestCleanErrors: a tenant's words cannot fill a status or drive a terminal.
func TestCleanErrors(t *testing.T) {
	said := "\x1b[31mdenied\r\n\u202e" + strings.Repeat("x", 10_000)
	err := failed(ErrRefused, "applying", &corev1.Service{}, apierrors.NewForbidden(schema.GroupResource{}, "a", errors.New(said)))
	if !errors.Is(err, ErrRefused) {
		t.Errorf("the kind of trouble is lost: %v", err)
	}
	if text := err.Error(); len(text) > 2*maxTenantText || strings.ContainsAny(text, "\x1b\r\n\u202e") || !strings.Contains(text, "denied") {
		t.Errorf("text of %d bytes: %q", len(text), text)
	}
}

// hostile starts a tenant's API server that answers as it likes, and connects to it.
func hostile(t *testing.T, answer http.HandlerFunc) *Tenant {
	t.Helper()
	server := httptest.NewUnstartedServer(answer)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	authority, err := pki.NewAuthority("clients", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := authority.Issue(pki.Leaf{CommonName: "me", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := Connect(Access{
		Address:    server.Listener.Addr().String(),
		CA:         pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
		ClientCert: certPEM, ClientKey: keyPEM,
		Dial: (&net.Dialer{}).DialContext,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tenant.Close)
	return tenant
}

func service() []client.Object {
	return []client.Object{&corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns"},
	}}
}

// TestHostileServer: whatever a tenant's server answers, a visit ends with an error.
func TestHostileServer(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect was followed")
	}))
	t.Cleanup(elsewhere.Close)
	var sent atomic.Int64
	for name, answer := range map[string]http.HandlerFunc{
		"redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"never stops": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			block := []byte(strings.Repeat(" ", 1<<20))
			for {
				n, err := w.Write(block)
				sent.Add(int64(n))
				if err != nil {
					return
				}
			}
		},
		"no JSON": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) },
		"another kind": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"kind":"Pod","apiVersion":"v1"}`))
		},
		"an odd object": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"kind":"Service","apiVersion":"v1","metadata":[1],"spec":7}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), VisitTimeout)
			defer cancel()
			if objects, err := hostile(t, answer).Keep(ctx, service()); err == nil {
				t.Errorf("no error, and %v", objects)
			}
			if ctx.Err() != nil {
				t.Error("only the timeout ended it")
			}
		})
	}
	if taken := sent.Load(); taken > 8*maxResponse {
		t.Errorf("%d bytes of an answer were taken", taken)
	}
}

// TestOnlyTheRightServer: a server that another authority certified learns nothing.
func TestOnlyTheRightServer(t *testing.T) {
	tenant := hostile(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	other, err := pki.NewAuthority("other", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(other.CertPEM())
	tenant.transport.TLSClientConfig.RootCAs = roots
	if _, err := tenant.Keep(t.Context(), service()); !errors.Is(err, ErrUnreachable) {
		t.Errorf("Keep: %v, want it unreachable", err)
	}
}

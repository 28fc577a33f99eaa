// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package dynamic

import (
	"net/http"
	"net/http/httptest"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Both answers are 404. Only the first may lead to a deletion.
func TestLiveReaderKnowsMissingKindsFromMissingObjects(t *testing.T) {
	gone := `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404,"details":{"name":"w","group":"example.com","kind":"widgets"}}`
	tests := map[string]struct {
		contentType, body string
		wantGone          bool
	}{
		"the object is gone": {"application/json", gone, true},
		"the kind is gone":   {"text/plain; charset=utf-8", "404 page not found\n", false},
		"no body":            {"application/json", "", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(tc.body))
			}))
			defer server.Close()
			kind := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}
			mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{kind.GroupVersion()})
			mapper.Add(kind, meta.RESTScopeNamespace)
			direct, err := client.New(&rest.Config{Host: server.URL}, client.Options{
				HTTPClient: server.Client(), Scheme: runtime.NewScheme(), Mapper: mapper,
			})
			if err != nil {
				t.Fatal(err)
			}
			object := &unstructured.Unstructured{}
			object.SetGroupVersionKind(kind)
			err = liveReader{direct}.Get(t.Context(), client.ObjectKey{Namespace: metav1.NamespaceDefault, Name: "w"}, object)
			if err == nil || apierrors.IsNotFound(err) != tc.wantGone {
				t.Errorf("got %v, gone should be %v", err, tc.wantGone)
			}
		})
	}
}

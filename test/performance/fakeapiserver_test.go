// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fakeTenants is an API server for any number of idle tenants, each below a
// path of its own and on connections of its own. It is a fake, which runs in the
// benchmark's process: it knows lists, watches, single reads and creations of a
// few kinds and nothing else, has no admission and no database. What it is asked
// for and does not know fails the benchmark.
type fakeTenants struct {
	server *httptest.Server

	mu      sync.Mutex
	tenants map[string]*fakeTenant
	unknown map[string]int
}

func newFakeTenants(b testing.TB) *fakeTenants {
	b.Helper()
	f := &fakeTenants{tenants: map[string]*fakeTenant{}, unknown: map[string]int{}}
	f.server = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.server.EnableHTTP2 = true
	f.server.StartTLS()
	b.Cleanup(func() {
		f.server.CloseClientConnections()
		f.server.Close()
		for request, n := range f.unknown {
			b.Errorf("the fake tenants were asked %d times for what they do not know: %s", n, request)
		}
	})
	return f
}

// add makes a tenant and returns the kubeconfig that leads to it.
func (f *fakeTenants) add(name, serviceIP string) ([]byte, error) {
	f.mu.Lock()
	f.tenants[name] = newFakeTenant(serviceIP)
	f.mu.Unlock()
	config := clientcmdapi.NewConfig()
	config.Clusters["c"] = &clientcmdapi.Cluster{
		Server:                   f.server.URL + "/" + name,
		CertificateAuthorityData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.server.Certificate().Raw}),
	}
	config.Contexts["x"] = &clientcmdapi.Context{Cluster: "c"}
	config.CurrentContext = "x"
	return clientcmd.Write(*config)
}

func (f *fakeTenants) serve(w http.ResponseWriter, r *http.Request) {
	name, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	f.mu.Lock()
	tenant := f.tenants[name]
	f.mu.Unlock()
	if tenant == nil {
		http.NotFound(w, r)
		return
	}
	if path == "readyz" {
		_, _ = io.WriteString(w, "ok") // the client may have gone
		return
	}
	if discover(w, path) {
		return
	}
	request, ok := parseFakeRequest(path)
	switch {
	case !ok || request.subresource != "":
		f.refuse(w, r, path)
	case r.Method == http.MethodGet && r.URL.Query().Get("watch") != "":
		tenant.watch(w, r, request)
	case r.Method == http.MethodGet && request.name == "":
		tenant.list(w, r, request)
	case r.Method == http.MethodGet:
		tenant.get(w, r, request)
	case r.Method == http.MethodPost:
		tenant.create(w, r, request)
	default:
		f.refuse(w, r, path)
	}
}

// refuse answers, and remembers, what the fake does not know.
func (f *fakeTenants) refuse(w http.ResponseWriter, r *http.Request, path string) {
	f.mu.Lock()
	f.unknown[r.Method+" "+path]++
	f.mu.Unlock()
	http.Error(w, "the fake does not know this", http.StatusMethodNotAllowed)
}

// fakeKind is a resource that the fake serves.
type fakeKind struct {
	plural, kind string
	namespaced   bool
}

// fakeKinds returns what a syncer reads of a tenant, by group and version.
func fakeKinds() map[string][]fakeKind {
	return map[string][]fakeKind{
		"v1": {
			{"namespaces", "Namespace", false}, {"nodes", "Node", false}, {"persistentvolumes", "PersistentVolume", false},
			{"pods", "Pod", true}, {"services", "Service", true}, {"configmaps", "ConfigMap", true}, {"secrets", "Secret", true},
			{"persistentvolumeclaims", "PersistentVolumeClaim", true}, {"serviceaccounts", "ServiceAccount", true}, {"events", "Event", true},
		},
		"apps/v1":              {{"daemonsets", "DaemonSet", true}},
		"discovery.k8s.io/v1":  {{"endpointslices", "EndpointSlice", true}},
		"networking.k8s.io/v1": {{"ingresses", "Ingress", true}, {"networkpolicies", "NetworkPolicy", true}, {"ingressclasses", "IngressClass", false}},
		"policy/v1":            {{"poddisruptionbudgets", "PodDisruptionBudget", true}},
		"storage.k8s.io/v1":    {{"storageclasses", "StorageClass", false}},
		"scheduling.k8s.io/v1": {{"priorityclasses", "PriorityClass", false}},
		"node.k8s.io/v1":       {{"runtimeclasses", "RuntimeClass", false}},
	}
}

// discover answers what an API server says about itself, if that is what is asked.
func discover(w http.ResponseWriter, path string) bool {
	version, inGroup := strings.CutPrefix(path, "apis/")
	switch {
	case path == "api":
		answerJSON(w, map[string]any{"kind": "APIVersions", "versions": []string{"v1"}})
	case path == "apis":
		answerJSON(w, map[string]any{"kind": "APIGroupList", "apiVersion": "v1", "groups": fakeGroups()})
	case path == "api/v1":
		answerJSON(w, fakeResources("v1"))
	case inGroup && strings.Count(version, "/") == 1:
		answerJSON(w, fakeResources(version))
	default:
		return false
	}
	return true
}

func fakeGroups() []any {
	var groups []any
	for version := range fakeKinds() {
		group, short, found := strings.Cut(version, "/")
		if !found {
			continue
		}
		one := map[string]any{"groupVersion": version, "version": short}
		groups = append(groups, map[string]any{"name": group, "versions": []any{one}, "preferredVersion": one})
	}
	return groups
}

func fakeResources(version string) map[string]any {
	resources := []any{}
	for _, known := range fakeKinds()[version] {
		resources = append(resources, map[string]any{
			"name": known.plural, "singularName": strings.ToLower(known.kind), "kind": known.kind, "namespaced": known.namespaced,
			"verbs": []string{"get", "list", "watch", "create", "patch", "delete"},
		})
	}
	return map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
}

func answerJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", runtime.ContentTypeJSON)
	_ = json.NewEncoder(w).Encode(body) // the client may have gone
}

// fakeRequest is a request for objects.
type fakeRequest struct {
	kind                         schema.GroupVersionKind
	namespace, name, subresource string
}

// parseFakeRequest understands the path of a kind that the fake serves.
func parseFakeRequest(path string) (fakeRequest, bool) {
	parts := strings.Split(path, "/")
	version := "v1"
	switch {
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		version, parts = parts[1]+"/"+parts[2], parts[3:]
	default:
		return fakeRequest{}, false
	}
	var request fakeRequest
	if parts[0] == "namespaces" && len(parts) > 2 {
		request.namespace, parts = parts[1], parts[2:]
	}
	for _, known := range fakeKinds()[version] {
		if known.plural == parts[0] {
			request.kind = schema.FromAPIVersionAndKind(version, known.kind)
		}
	}
	if len(parts) > 1 {
		request.name = parts[1]
	}
	if len(parts) > 2 {
		request.subresource = parts[2]
	}
	return request, request.kind.Kind != ""
}

// newFakeObject returns an empty object of a kind, or of its list.
func newFakeObject[T any](kind schema.GroupVersionKind, suffix string) (T, error) {
	made, err := clientgoscheme.Scheme.New(kind.GroupVersion().WithKind(kind.Kind + suffix))
	object, ok := made.(T)
	if err == nil && !ok {
		err = fmt.Errorf("%T is no %T", made, object)
	}
	return object, err
}

// serializer returns that which a client asks for: protobuf, or JSON.
func serializer(r *http.Request) runtime.SerializerInfo {
	wanted := runtime.ContentTypeJSON
	if strings.Contains(r.Header.Get("Accept"), runtime.ContentTypeProtobuf) {
		wanted = runtime.ContentTypeProtobuf
	}
	info, _ := runtime.SerializerInfoForMediaType(clientgoscheme.Codecs.SupportedMediaTypes(), wanted)
	return info
}

// answer writes an object as the client asks for it.
func answer(w http.ResponseWriter, r *http.Request, code int, version schema.GroupVersion, object runtime.Object) {
	info := serializer(r)
	content, err := runtime.Encode(clientgoscheme.Codecs.EncoderForVersion(info.Serializer, version), object)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", info.MediaType)
	w.WriteHeader(code)
	_, _ = w.Write(content) // the client may have gone
}

// decode reads an object that a client sends.
func decode(r *http.Request) (client.Object, error) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	decoded, err := runtime.Decode(clientgoscheme.Codecs.UniversalDeserializer(), content)
	if err != nil {
		return nil, err
	}
	object, ok := decoded.(client.Object)
	if !ok {
		return nil, fmt.Errorf("%T is not an object of the API", decoded)
	}
	return object, nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/names"
)

var demo = names.Tenant{ID: "8b2f", Name: "demo"}

func stamped(change func(superPod *corev1.Pod)) *corev1.Pod {
	superPod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: demo.Namespace("default"), Name: "web", UID: "super-uid"},
		Spec:       corev1.PodSpec{NodeName: "super-1"},
	}
	identity.Stamp(superPod, identity.Owner{TenantID: demo.ID, Namespace: "default", Name: "web", UID: "tenant-uid"}, types.NamespacedName{})
	if change != nil {
		change(superPod)
	}
	return superPod
}

func newPods(t *testing.T, host string, superPods ...*corev1.Pod) *Pods {
	t.Helper()
	builder := fake.NewClientBuilder()
	for _, superPod := range superPods {
		builder = builder.WithObjects(superPod)
	}
	pods, err := NewPods(&rest.Config{Host: host, BearerToken: "agent-token"}, builder.Build(), Options{PodIPRuntimeClasses: []string{"gvisor"}})
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

func TestFind(t *testing.T) {
	cases := map[string]struct {
		superPod *corev1.Pod
		tenant   names.Tenant
		found    bool
	}{
		"the tenant's":         {stamped(nil), demo, true},
		"none":                 {nil, demo, false},
		"another tenant asks":  {stamped(nil), names.Tenant{ID: "other", Name: "demo"}, false},
		"no stamp":             {stamped(func(p *corev1.Pod) { p.Labels, p.Annotations = nil, nil }), demo, false},
		"half a stamp":         {stamped(func(p *corev1.Pod) { delete(p.Annotations, tenancyv1alpha1.AnnotationTenantUID) }), demo, false},
		"another tenant's":     {stamped(func(p *corev1.Pod) { stamp(p, "other", "default", "web") }), demo, false},
		"another namespace's":  {stamped(func(p *corev1.Pod) { stamp(p, demo.ID, "kube-system", "web") }), demo, false},
		"another pod's":        {stamped(func(p *corev1.Pod) { stamp(p, demo.ID, "default", "db") }), demo, false},
		"in a plain namespace": {stamped(func(p *corev1.Pod) { p.Namespace = "default" }), demo, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var superPods []*corev1.Pod
			if tc.superPod != nil {
				superPods = append(superPods, tc.superPod)
			}
			pod, err := newPods(t, "https://super", superPods...).Find(t.Context(), tc.tenant, "default", "web")
			switch {
			case tc.found && (err != nil || pod.UID() != "super-uid"):
				t.Errorf("Find: %v, want the pod", err)
			case !tc.found && err != ErrNotFound: //nolint:errorlint // nothing may be wrapped around it: it must always read the same
				t.Errorf("Find: %v, want ErrNotFound", err)
			}
		})
	}
}

func stamp(superPod *corev1.Pod, tenantID, namespace, name string) {
	identity.Stamp(superPod, identity.Owner{TenantID: tenantID, Namespace: namespace, Name: name, UID: "x"}, types.NamespacedName{})
}

// serve sends a request through the proxy to a super cluster of the test's making.
func serve(t *testing.T, request *http.Request, answer http.HandlerFunc) *httptest.ResponseRecorder {
	t.Helper()
	super := httptest.NewServer(answer)
	defer super.Close()
	pod, err := newPods(t, super.URL, stamped(nil)).Find(t.Context(), demo, "default", "web")
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	pod.ServeStream(recorder, request, SubresourceLog, url.Values{"container": {"c"}})
	return recorder
}

func logRequest(t *testing.T) *http.Request {
	return httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/containerLogs/default/web/c?smuggled=1", http.NoBody)
}

// TestIdentityIsTheAgents: whatever a client sends, the super cluster sees the
// agent's credentials, and no header that it might act on.
func TestIdentityIsTheAgents(t *testing.T) {
	forged := http.Header{
		"Authorization": {"Bearer stolen"}, "Impersonate-User": {"system:admin"}, "Impersonate-Group": {"system:masters"},
		"Impersonate-Uid": {"0"}, "Impersonate-Extra-Scopes": {"x"},
		"X-Remote-User": {"admin"}, "X-Remote-Group": {"system:masters"}, "X-Remote-Extra-A": {"b"},
		"X-Forwarded-For": {"10.0.0.1"}, "X-Forwarded-Host": {"x"}, "Forwarded": {"for=x"}, "X-Forwarded-Uri": {"/"},
		"Cookie": {"a=b"}, "X-Http-Method-Override": {"DELETE"}, "Te": {"trailers"},
	}
	connections := map[string]string{
		"plain": "", "drop authorization": "Authorization", "drop impersonation": "Impersonate-User, Authorization", "drop both, keep alive": "keep-alive, Authorization, Impersonate-User",
	}
	for name, connection := range connections {
		t.Run(name, func(t *testing.T) {
			request := logRequest(t)
			request.Header = forged.Clone()
			if connection != "" {
				request.Header.Set("Connection", connection)
			}
			var seen *http.Request
			serve(t, request, func(_ http.ResponseWriter, r *http.Request) { seen = r })
			if seen == nil {
				t.Fatal("the super cluster was not asked")
			}
			if want := "/api/v1/namespaces/" + demo.Namespace("default") + "/pods/web/log?container=c"; seen.RequestURI != want {
				t.Errorf("it was asked for %s, want %s", seen.RequestURI, want)
			}
			got := seen.Header.Clone()
			for _, harmless := range []string{"Accept-Encoding", "User-Agent"} {
				got.Del(harmless)
			}
			if diff := cmp.Diff(http.Header{"Authorization": {"Bearer agent-token"}}, got); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAnswers: what the super cluster says reaches the tenant in the tenant's words or not at all.
func TestAnswers(t *testing.T) {
	super := demo.Namespace("default")
	status := func(message string) string {
		return `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"` + message + `"}`
	}
	cases := map[string]struct {
		code     int
		body     string
		header   string // of the answer: "name: value"
		wantCode int
		wantBody string
	}{
		"log":                  {200, "line of " + super, "", 200, "line of " + super},
		"about the container":  {400, status(`container c in pod web is waiting to start`), "", 400, "container c in pod web is waiting to start"},
		"names the namespace":  {404, status("pods web not found in " + super), "", 404, "pods web not found in default"},
		"names a node":         {400, status("pod web is on super-1"), "", 400, "Bad Request"},
		"names an address":     {400, status("dial tcp 10.1.2.3:10250"), "", 400, "Bad Request"},
		"names a path":         {400, status("open /var/log/pods/x: no such file"), "", 400, "Bad Request"},
		"names a UID":          {400, status("pod super-uid is gone"), "", 400, "Bad Request"},
		"names another tenant": {400, status("vc-other-default-aaaaaaaaaaaaaaaaaaaaaaaaaa"), "", 400, "Bad Request"},
		"container is gone":    {500, status(`container not found (\"c\")`), "", 500, `container not found ("c")`},
		"server error":         {500, status("etcdserver: timeout"), "", 502, messageUnreachable},
		"agent is unknown":     {401, status("Unauthorized"), "", 502, messageUnreachable},
		"agent may not":        {403, status("pods is forbidden: User system:serviceaccount:vc-system:vn-agent"), "", 502, messageUnreachable},
		"redirect":             {307, "", "Location: /api/v1/secrets", 502, messageUnreachable},
		"redirect elsewhere":   {302, "", "Location: https://super/api/v1/secrets", 502, messageUnreachable},
		"no content":           {204, "", "", 502, messageUnreachable},
		"another document":     {404, `{"kind":"Secret","data":{}}`, "", 404, "Not Found"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := 0
			recorder := serve(t, logRequest(t), func(w http.ResponseWriter, _ *http.Request) {
				asked++
				if key, value, ok := strings.Cut(tc.header, ": "); ok {
					w.Header().Set(key, value)
				}
				w.Header().Set("X-Kubernetes-Pf-Prioritylevel-Uid", "super-secret")
				w.Header().Set("Warning", "299 - super-1")
				w.WriteHeader(tc.code)
				_, _ = io.WriteString(w, tc.body)
			})
			if got := strings.TrimSpace(recorder.Body.String()); recorder.Code != tc.wantCode || got != tc.wantBody {
				t.Errorf("%d %q, want %d %q", recorder.Code, got, tc.wantCode, tc.wantBody)
			}
			for key := range recorder.Header() {
				if key == "Location" || key == "Warning" || strings.HasPrefix(key, "X-Kubernetes") {
					t.Errorf("header %s reached the tenant", key)
				}
			}
			if asked != 1 {
				t.Errorf("the super cluster was asked %d times, want once", asked)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	pod, err := newPods(t, "http://127.0.0.1:1", stamped(nil)).Find(t.Context(), demo, "default", "web")
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	pod.ServeStream(recorder, logRequest(t), SubresourceLog, nil)
	if recorder.Code != http.StatusBadGateway || strings.Contains(recorder.Body.String(), "127.0.0.1") {
		t.Errorf("%d %q, want 502 without the address", recorder.Code, recorder.Body)
	}
}

func TestReachedByIP(t *testing.T) {
	for class, want := range map[string]bool{"gvisor": true, "runc": false, "": false} {
		superPod := stamped(func(p *corev1.Pod) {
			if class != "" {
				p.Spec.RuntimeClassName = ptr.To(class)
			}
		})
		pod := &Pod{pods: newPods(t, "https://super"), superPod: superPod}
		if got := pod.reachedByIP(); got != want {
			t.Errorf("class %q: %v, want %v", class, got, want)
		}
	}
}

func TestPodAddress(t *testing.T) {
	cases := map[string]struct {
		podIP, hostIP string
		hostNetwork   bool
		want          bool
	}{
		"a pod's":            {"10.244.0.7", "192.0.2.1", false, true},
		"IPv6":               {"fd00::7", "fd00::1", false, true},
		"the node's":         {"192.0.2.1", "192.0.2.1", false, false},
		"the node's, mapped": {"::ffff:192.0.2.1", "192.0.2.1", false, false},
		"the node's network": {"10.244.0.7", "192.0.2.1", true, false},
		"loopback":           {"127.0.0.1", "192.0.2.1", false, false},
		"mapped loopback":    {"::ffff:127.0.0.1", "192.0.2.1", false, false},
		"link-local":         {"169.254.169.254", "192.0.2.1", false, false},
		"unspecified":        {"0.0.0.0", "192.0.2.1", false, false},
		"none yet":           {"", "192.0.2.1", false, false},
		"a name":             {"metadata.internal", "192.0.2.1", false, false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pod := &Pod{superPod: stamped(func(p *corev1.Pod) {
				p.Spec.HostNetwork = tc.hostNetwork
				p.Status.PodIP, p.Status.HostIP = tc.podIP, tc.hostIP
			})}
			if address, err := pod.address(); (err == nil) != tc.want {
				t.Errorf("address: %v, %v, want one %v", address, err, tc.want)
			}
		})
	}
}

// stream is one side of a forwarded connection.
type stream struct {
	io.Reader
	io.Writer
}

func (stream) Close() error { return nil }

func TestPodForwarder(t *testing.T) {
	var dialled []string
	forwarder := &podForwarder{
		ctx: t.Context(), address: netip.MustParseAddr("10.244.0.7"), slots: make(chan struct{}, 1),
		dial: func(_ context.Context, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				buffer := make([]byte, 4)
				_, _ = io.ReadFull(theirs, buffer)
				_, _ = theirs.Write([]byte(strings.ToUpper(string(buffer))))
			}()
			return ours, nil
		},
	}
	for _, port := range []int32{0, -1, 65536} {
		if err := forwarder.PortForward(t.Context(), "", "", port, stream{strings.NewReader(""), io.Discard}); err == nil {
			t.Errorf("port %d was forwarded", port)
		}
	}
	var answer strings.Builder
	if err := forwarder.PortForward(t.Context(), "", "", 65535, stream{strings.NewReader("ping"), &answer}); err != nil || answer.String() != "PING" {
		t.Errorf("forwarded %q, %v, want PING", answer.String(), err)
	}
	if diff := cmp.Diff([]string{"10.244.0.7:65535"}, dialled); diff != "" {
		t.Errorf("dialled (-want +got):\n%s", diff)
	}
	forwarder.slots <- struct{}{}
	if err := forwarder.PortForward(t.Context(), "", "", 80, stream{strings.NewReader(""), io.Discard}); err == nil {
		t.Error("one connection too many was forwarded")
	}
}

// TestPodForwarderEnds: the end of the request ends connections that wait.
func TestPodForwarderEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	dialled := make(chan struct{})
	forwarder := &podForwarder{
		ctx: ctx, address: netip.MustParseAddr("10.244.0.7"), slots: make(chan struct{}, 1),
		dial: func(context.Context, string) (net.Conn, error) {
			ours, _ := net.Pipe()
			close(dialled)
			return ours, nil
		},
	}
	ended := make(chan error, 1)
	silent, quiet := io.Pipe()
	defer quiet.Close()
	go func() { ended <- forwarder.PortForward(ctx, "", "", 80, stream{silent, io.Discard}) }()
	<-dialled
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("it ended with %v", err)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const (
	// leafTTL is the life of every leaf, renewEvery two thirds of it.
	leafTTL    = 30 * time.Second
	renewEvery = leafTTL * 2 / 3
	// renewals is how often each leaf is renewed: the first ones have expired
	// long before the end.
	renewals = 3
	// followed is how long after a renewal a log is followed that was opened
	// before it: the API server has seen the new pair by then, and the old one
	// is still valid.
	followed = 6 * time.Second
)

// TestRenewal renews every leaf of a running control plane, again and again,
// under all sorts of requests. None may fail, and each certificate must be the
// new one in the end.
func TestRenewal(t *testing.T) {
	kubelets, err := pki.NewAuthority("kubelets", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	controlPlane := controlplanetest.Start(t, controlplanetest.Options{
		KubeletServingCA: kubelets.CertPEM(), Arguments: []string{"--audit-level=Metadata"},
	})
	r := &renewal{controlPlane: controlPlane, kubelets: kubelets, seen: newSerials(), load: newLoad()}
	if r.client, err = kubernetes.NewForConfig(controlPlane.Config); err != nil {
		t.Fatal(err)
	}
	r.renew(t) // from the long leaves that it was started with to short ones
	r.addNode(t)
	r.addAggregated(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.load.stop = cancel
	r.addLoad(ctx, t)
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for range renewals {
		<-ticker.C
		ended := r.follow(ctx, t)
		r.renew(t)
		if err := <-ended; err != nil {
			t.Errorf("a log that was followed while the leaves were renewed: %v", err)
		}
	}
	<-ticker.C // the last ones are in use, and all before them have expired
	r.load.finish(t, renewals)
	r.wantRenewed(t)
}

// renewal is a control plane with a fake node and a fake aggregated API.
type renewal struct {
	controlPlane *controlplanetest.Instance
	kubelets     *pki.Authority
	client       kubernetes.Interface
	seen         *serials
	load         *load
}

// renew replaces every leaf at one moment.
func (r *renewal) renew(t *testing.T) {
	t.Helper()
	authorities := r.controlPlane.Authorities
	client, server := x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	files := map[string][]byte{}
	for _, leaf := range []struct {
		cert, key string
		authority *pki.Authority
		name      string
		usages    []x509.ExtKeyUsage
	}{
		{pki.FileServingCert, pki.FileServingKey, authorities.Server, "kube-apiserver", []x509.ExtKeyUsage{server}},
		{pki.FileControllerManagerCert, pki.FileControllerManagerKey, authorities.PlatformClient, "system:kube-controller-manager", []x509.ExtKeyUsage{client}},
		{pki.FileFrontProxyCert, pki.FileFrontProxyKey, authorities.RequestHeader, "front-proxy-client", []x509.ExtKeyUsage{client}},
		{pki.FileKubeletClientCert, pki.FileKubeletClientKey, authorities.KubeletClient, "kube-apiserver-kubelet-client", []x509.ExtKeyUsage{client}},
		{pki.FileEtcdPeerCert, pki.FileEtcdPeerKey, authorities.Etcd, "etcd-peer", []x509.ExtKeyUsage{server, client}},
	} {
		var err error
		files[leaf.cert], files[leaf.key], err = leaf.authority.Issue(pki.Leaf{
			CommonName: leaf.name, Usages: leaf.usages, TTL: leafTTL,
			DNSNames: []string{"localhost"}, IPs: []net.IP{net.IPv4(127, 0, 0, 1)},
		}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
	}
	r.controlPlane.ReplaceFiles(t, files)
}

// addNode makes a node whose kubelet is a fake one, with a pod on it.
func (r *renewal) addNode(t *testing.T) {
	t.Helper()
	port := startServer(t, r.kubelets, r.controlPlane.Authorities.KubeletClient, "kubelet", r.seen, shownKubelet,
		func(w http.ResponseWriter, request *http.Request) {
			if !strings.HasPrefix(request.URL.Path, "/containerLogs/") {
				http.NotFound(w, request)
				return
			}
			_, _ = io.WriteString(w, "a log\n")
			if request.URL.Query().Get("follow") == "true" {
				goOn(w, request)
			}
		})
	ctx := t.Context()
	node, err := r.client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(port)
	if _, err := r.client.CoreV1().Nodes().UpdateStatus(ctx, node, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	if _, err := r.client.CoreV1().ServiceAccounts("default").Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: corev1.PodSpec{
		NodeName: "node", ServiceAccountName: "web", Containers: []corev1.Container{{Name: "main", Image: "web"}},
	}}
	if _, err := r.client.CoreV1().Pods("default").Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// addAggregated registers a fake extension API server and waits until it is served.
func (r *renewal) addAggregated(t *testing.T) {
	t.Helper()
	port := startServer(t, r.controlPlane.Authorities.Server, r.controlPlane.Authorities.RequestHeader, "things.default.svc", r.seen, shownExtension,
		func(w http.ResponseWriter, request *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"things.example.com/v1","resources":[],"user":%q}`,
				request.Header.Get("X-Remote-User"))
		})
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "things"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeExternalName, ExternalName: "localhost",
	}}
	if _, err := r.client.CoreV1().Services("default").Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"apiVersion":"apiregistration.k8s.io/v1","kind":"APIService","metadata":{"name":"v1.things.example.com"},
		"spec":{"group":"things.example.com","version":"v1","groupPriorityMinimum":100,"versionPriority":100,
		"caBundle":%q,"service":{"namespace":"default","name":"things","port":%d}}}`, toBase64(r.controlPlane.Authorities.Server.CertPEM()), port)
	err := r.client.Discovery().RESTClient().Post().AbsPath("/apis/apiregistration.k8s.io/v1/apiservices").
		SetHeader("Content-Type", "application/json").Body([]byte(body)).Do(t.Context()).Error()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the aggregated API is served", func(ctx context.Context) error { return r.aggregated(ctx, r.client) })
}

// aggregated asks the fake extension API server through the API server.
func (r *renewal) aggregated(ctx context.Context, client kubernetes.Interface) error {
	answer, err := client.Discovery().RESTClient().Get().AbsPath("/apis/things.example.com/v1").DoRaw(ctx)
	if err == nil && !strings.Contains(string(answer), `"user":"test-admin"`) {
		err = fmt.Errorf("the aggregated API does not know who asked: %s", answer)
	}
	return err
}

// addLoad starts every sort of request.
func (r *renewal) addLoad(ctx context.Context, t *testing.T) {
	t.Helper()
	const often = 20 * time.Millisecond
	fresh := rest.CopyConfig(r.controlPlane.Config)
	fresh.Wrap(func(rt http.RoundTripper) http.RoundTripper { return r.served(rt) })
	newConnections, err := kubernetes.NewForConfig(fresh)
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]kubernetes.Interface{"kept connection": r.client, "new connections": newConnections} {
		number := 0
		r.load.add(ctx, "get, "+name, often, func(ctx context.Context) error {
			_, err := client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{})
			return err
		})
		r.load.add(ctx, "create, "+name, 5*often, func(ctx context.Context) error {
			number++
			object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: strings.ReplaceAll(name, " ", "-") + "-" + strconv.Itoa(number)}}
			_, err := client.CoreV1().ConfigMaps("default").Create(ctx, object, metav1.CreateOptions{})
			return err
		})
		r.load.add(ctx, "short watch, "+name, 10*often, func(ctx context.Context) error { return watchOnce(ctx, client) })
		r.load.add(ctx, "aggregated API, "+name, often, func(ctx context.Context) error { return r.aggregated(ctx, client) })
	}
	r.load.add(ctx, "logs, kept connection to kubelet", often, func(ctx context.Context) error { return r.logs(ctx, nil) })
	limit := int64(1 << 20)
	r.load.add(ctx, "logs, new connections to kubelet", 10*often, func(ctx context.Context) error { return r.logs(ctx, &limit) })
	r.load.add(ctx, "etcd peer, new connections", 10*often, r.etcdPeer)
	r.longWatch(ctx, t)
}

// served makes a new connection for each request, and remembers the certificate.
func (r *renewal) served(http.RoundTripper) http.RoundTripper {
	config, err := rest.TLSConfigFor(r.controlPlane.Config)
	if err != nil {
		return roundTripper(func(*http.Request) (*http.Response, error) { return nil, err })
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := transport.RoundTrip(request)
		if err == nil {
			r.seen.add(servedAPI, response.TLS.PeerCertificates[0].SerialNumber.String())
		}
		return response, err
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// logs asks for the pod's log. The fake kubelet closes the connection if there is a limit.
func (r *renewal) logs(ctx context.Context, limit *int64) error {
	answer, err := r.client.CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{LimitBytes: limit}).DoRaw(ctx)
	if err == nil && string(answer) != "a log\n" {
		err = fmt.Errorf("the log is %q", answer)
	}
	return err
}

// goOn writes a line now and then, until the client has gone.
func goOn(w http.ResponseWriter, request *http.Request) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-request.Context().Done():
			return
		case <-ticker.C:
			_, _ = io.WriteString(w, "a log\n")
		}
	}
}

// follow follows the pod's log, and returns when it has begun. The channel
// gets nil if it still goes on after the time that it should.
func (r *renewal) follow(ctx context.Context, t *testing.T) <-chan error {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	t.Cleanup(cancel)
	stream, err := r.client.CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{Follow: true}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	lines, ended, began := bufio.NewScanner(stream), make(chan error, 1), time.Now()
	if !lines.Scan() {
		t.Fatalf("the followed log has no first line: %v", lines.Err())
	}
	go func() {
		defer stream.Close()
		for lines.Scan() {
			if time.Since(began) > followed {
				ended <- nil
				return
			}
		}
		ended <- fmt.Errorf("it ended after %s: %w", time.Since(began), errors.Join(lines.Err(), io.ErrUnexpectedEOF))
	}()
	return ended
}

// watchOnce begins a watch, and ends it when it has answered.
func watchOnce(ctx context.Context, client kubernetes.Interface) error {
	watcher, err := client.CoreV1().Namespaces().Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer watcher.Stop()
	select {
	case event, open := <-watcher.ResultChan():
		if !open {
			return errors.New("the watch ended before its first event")
		}
		if _, ok := event.Object.(*corev1.Namespace); !ok {
			return fmt.Errorf("the watch answered %v", event)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// longWatch watches one ConfigMap that is changed again and again, on one
// stream from the beginning to the end.
func (r *renewal) longWatch(ctx context.Context, t *testing.T) {
	t.Helper()
	object, err := r.client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "watched"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	hour := int64(3600)
	watcher, err := r.client.CoreV1().ConfigMaps("default").Watch(t.Context(), metav1.ListOptions{
		FieldSelector: "metadata.name=watched", ResourceVersion: object.ResourceVersion, TimeoutSeconds: &hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(watcher.Stop)
	number := 0
	r.load.add(ctx, "one watch all the time", 200*time.Millisecond, func(ctx context.Context) error {
		number++
		patch := fmt.Sprintf(`{"data":{"number":"%d"}}`, number)
		if _, err := r.client.CoreV1().ConfigMaps("default").Patch(ctx, "watched", "application/merge-patch+json", []byte(patch), metav1.PatchOptions{}); err != nil {
			return err
		}
		select {
		case event, open := <-watcher.ResultChan():
			if seen, ok := event.Object.(*corev1.ConfigMap); !open || !ok || seen.Data["number"] != strconv.Itoa(number) {
				return fmt.Errorf("change %d was seen as %v (open: %v)", number, event, open)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// etcdPeer connects to the member's peer port, as another member would.
func (r *renewal) etcdPeer(ctx context.Context) error {
	now := time.Now()
	certPEM, keyPEM, err := r.controlPlane.Authorities.Etcd.Issue(pki.Leaf{CommonName: "etcd-peer", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, now)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(r.controlPlane.Authorities.Etcd.CertPEM())
	address, err := peerAddress(r.controlPlane)
	if err != nil {
		return err
	}
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}, ServerName: "localhost", MinVersion: tls.VersionTLS12}}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	served := connection.(*tls.Conn).ConnectionState().PeerCertificates[0] //nolint:forcetypeassert // tls.Dialer documents it.
	r.seen.add(servedEtcd, served.SerialNumber.String())
	return nil
}

// wantRenewed: every renewed certificate was really used. The first leaf of
// each may have been gone before anybody looked.
func (r *renewal) wantRenewed(t *testing.T) {
	t.Helper()
	refused := 0
	for _, entry := range auditLog(t, r.controlPlane) {
		if entry.User.Username == "system:kube-controller-manager" {
			for _, id := range entry.User.Extra["authentication.kubernetes.io/credential-id"] {
				r.seen.add(shownControllers, id)
			}
		}
		if entry.ResponseStatus.Code == http.StatusUnauthorized {
			refused++
		}
	}
	t.Logf("requests that the API server answered with 401, from anybody: %d", refused)
	if refused > 0 {
		t.Errorf("%d requests were answered with 401", refused)
	}
	for _, who := range []string{servedAPI, servedEtcd, shownKubelet, shownExtension, shownControllers} {
		seen := r.seen.count(who)
		t.Logf("%-32s %d certificates", who, seen)
		if seen < renewals {
			t.Errorf("%d certificates were %s, although each was renewed %d times", seen, who, renewals)
		}
	}
}

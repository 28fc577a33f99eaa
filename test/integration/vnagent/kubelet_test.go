// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package vnagent_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// kubeletAddress is where the super node's kubelet listens.
const kubeletAddress = "127.0.42.2"

// kubelet stands for the super node's: it says what it was asked, and echoes.
type kubelet struct {
	port int
	// opened gets the path of each log that is followed, ended gets it when the stream is over.
	opened, ended chan string
}

func startKubelet(t *testing.T, authority *pki.Authority) *kubelet {
	t.Helper()
	listener, err := net.Listen("tcp", kubeletAddress+":0")
	if err != nil {
		t.Fatal(err)
	}
	k := &kubelet{port: listener.Addr().(*net.TCPAddr).Port, opened: make(chan string, 8), ended: make(chan string, 8)}
	server := httptest.NewUnstartedServer(k)
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.TLS = &tls.Config{Certificates: []tls.Certificate{serverPair(t, authority, kubeletAddress)}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.CloseClientConnections)
	return k
}

// ServeHTTP answers what a kubelet would, by the name of the container.
func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segments := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case segments[0] == "exec":
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, echo{}, segments[2], "", segments[3], r.URL.Query()["command"], options,
			time.Minute, time.Minute, remotecommand.SupportedStreamingProtocols)
	case segments[0] == "portForward":
		portforward.ServePortForward(w, r, echo{}, segments[2], "", nil, time.Minute, time.Minute, portforward.SupportedProtocols)
	case segments[0] != "containerLogs":
		http.NotFound(w, r)
	case segments[3] == "failing":
		http.Error(w, "cannot read /var/log/pods/"+segments[1]+"_web/failing/0.log", http.StatusInternalServerError)
	case segments[3] == "elsewhere":
		http.Redirect(w, r, "https://"+kubeletAddress+"/secrets", http.StatusTemporaryRedirect)
	case r.URL.Query().Get("follow") == "true":
		_, _ = io.WriteString(w, "following\n")
		w.(http.Flusher).Flush()
		k.opened <- r.URL.Path
		<-r.Context().Done()
		k.ended <- r.URL.Path
	default:
		fmt.Fprintf(w, "log of %s tailLines=%s\n", segments[3], r.URL.Query().Get("tailLines"))
	}
}

// echo is a container that repeats its command and its input, and a port that repeats what it gets.
type echo struct{}

// ExecInContainer repeats.
func (echo) ExecInContainer(_ context.Context, _, _, container string, command []string, in io.Reader, out, _ io.WriteCloser,
	_ bool, _ <-chan remotecommand.TerminalSize, _ time.Duration,
) error {
	fmt.Fprintf(out, "%s: %q\n", container, command)
	if in != nil {
		_, err := io.Copy(out, in)
		return err
	}
	return nil
}

// PortForward repeats.
func (echo) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	fmt.Fprintf(stream, "port %d\n", port)
	_, err := io.Copy(stream, stream)
	return err
}

func serverPair(t *testing.T, authority *pki.Authority, address string) tls.Certificate {
	t.Helper()
	return pair(t, authority, pki.Leaf{
		CommonName: address, IPs: []net.IP{net.ParseIP(address)}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

func pair(t *testing.T, authority *pki.Authority, leaf pki.Leaf) tls.Certificate {
	t.Helper()
	certPEM, keyPEM, err := authority.Issue(leaf, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

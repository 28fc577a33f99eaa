// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package members

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
)

func TestParse(t *testing.T) {
	peer := func(host string) []string { return []string{"https://" + host + ":2380"} }
	got := parse([]*etcdserverpb.Member{
		// It was alone before: its URL is nobody's name.
		{ID: 7, Name: "control-plane-0", PeerURLs: []string{"https://127.0.0.1:0"}},
		// It has not started yet: it has no name.
		{ID: 8, PeerURLs: peer("control-plane-1.control-plane-peers.ns.svc.cluster.local"), IsLearner: true},
		{ID: 9, Name: "control-plane-2", PeerURLs: peer("control-plane-2.control-plane-peers.ns.svc.cluster.local")},
		{ID: 10, Name: "backup", PeerURLs: peer("192.0.2.1")},
		{ID: 11},
	}, 9)
	want := []Member{
		{ID: 7, Ordinal: 0},
		{ID: 8, Ordinal: 1, Learner: true},
		{ID: 9, Ordinal: 2, Leader: true},
		{ID: 10, Ordinal: -1},
		{ID: 11, Ordinal: -1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

// TestConnectAsksForTheMember: the address is a pod's, which may be another's
// by now, so the certificate must be of the member's name.
func TestConnectAsksForTheMember(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	asked := make(chan string, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		server := tls.Server(conn, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			asked <- hello.ServerName
			return nil, net.ErrClosed
		}})
		_ = server.HandshakeContext(t.Context()) // It is refused: only what was asked for matters.
	}()
	const name = "control-plane-0.control-plane-peers.ns.svc.cluster.local"
	database, err := Connect(t.Context(), Endpoint{
		Address: listener.Addr().String(), TLS: &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close()
	if _, err := database.List(t.Context()); err == nil {
		t.Error("who refuses is taken for a member")
	}
	if got := <-asked; got != name {
		t.Errorf("asked for %q, want %q", got, name)
	}
}

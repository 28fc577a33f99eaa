// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplanetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
)

// Compact makes the database forget every revision but the newest, as etcd
// does by itself in time. A watch cache hides that from clients until the
// control plane is started again.
func (i *Instance) Compact(t testing.TB) {
	t.Helper()
	var status struct {
		Header struct{ Revision string }
	}
	i.etcd(t, "/v3/maintenance/status", map[string]any{}, &status)
	i.etcd(t, "/v3/kv/compaction", map[string]any{"revision": status.Header.Revision, "physical": true}, nil)
}

// Stored returns what the database holds at key, as it lies there, or nothing.
func (i *Instance) Stored(t testing.TB, key string) []byte {
	t.Helper()
	var found struct {
		KVs []struct{ Value []byte }
	}
	i.etcd(t, "/v3/kv/range", map[string]any{"key": []byte(key)}, &found)
	if len(found.KVs) == 0 {
		return nil
	}
	return found.KVs[0].Value
}

// etcd calls the database's JSON gateway through its socket.
func (i *Instance) etcd(t testing.TB, path string, request map[string]any, response any) {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(i.DataDir(), "etcd.sock"))
	}}
	defer transport.CloseIdleConnections()
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	call, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://etcd"+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := (&http.Client{Transport: transport}).Do(call)
	if err != nil {
		t.Fatalf("asking etcd: %v", err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, content)
	}
	if err == nil && response != nil {
		err = json.Unmarshal(content, response)
	}
	if err != nil {
		t.Fatalf("asking etcd for %s: %v", path, err)
	}
}

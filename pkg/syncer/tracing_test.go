// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	configv1alpha1 "virtualcluster.io/virtualcluster/apis/config/v1alpha1"
)

// runnables is a manager that only takes what is added.
type runnables struct {
	manager.Manager
	added []manager.Runnable
}

func (r *runnables) Add(runnable manager.Runnable) error {
	r.added = append(r.added, runnable)
	return nil
}

func TestNoTracesWithoutAnEndpoint(t *testing.T) {
	mgr := &runnables{}
	provider, err := tracing(t.Context(), mgr, configv1alpha1.Tracing{SamplingRatePerMillion: 1_000_000})
	if provider != nil || err != nil || len(mgr.added) != 0 {
		t.Errorf("provider %v, error %v, %d runnables", provider, err, len(mgr.added))
	}
}

// TestTracesGoToTheCollector: at the latest when the process ends.
func TestTracesGoToTheCollector(t *testing.T) {
	collector, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = collector.Close() }()
	mgr := &runnables{}
	provider, err := tracing(t.Context(), mgr, configv1alpha1.Tracing{Endpoint: collector.Addr().String(), SamplingRatePerMillion: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	_, span := provider.Tracer("test").Start(t.Context(), "sync")
	if !span.IsRecording() {
		t.Fatal("the span is not sampled")
	}
	span.End()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	go func() { _ = mgr.added[0].Start(ctx) }()
	if err := collector.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	connection, err := collector.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	preface := make([]byte, len("PRI * HTTP/2.0"))
	if _, err := connection.Read(preface); err != nil || !strings.HasPrefix(string(preface), "PRI") {
		t.Errorf("the collector reads %q, error %v", preface, err)
	}
}

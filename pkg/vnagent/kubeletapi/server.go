// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kubeletapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
)

const (
	// headerTimeout bounds the TLS handshake and the head of a request.
	headerTimeout = 10 * time.Second
	// idleConnection is how long a connection may wait for its next request.
	idleConnection = 2 * time.Minute
	// maxHeader bounds the head of a request; a command is part of it.
	maxHeader = 256 << 10
	// shutdownTimeout is how long streams have to end after their context has.
	shutdownTimeout = 5 * time.Second
)

// Server serves a handler over TLS on one address. It is a
// manager.Runnable that runs on every replica.
type Server struct {
	// Address is host:port to listen on.
	Address string
	// TLS must refuse callers that the handler would.
	TLS *tls.Config
	// Handler answers.
	Handler http.Handler
}

// NeedLeaderElection says that every replica serves.
func (s *Server) NeedLeaderElection() bool { return false }

// Start listens and serves until ctx ends. Open streams end with it.
func (s *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("listening for the kubelet API: %w", err)
	}
	return s.Serve(ctx, listener)
}

// Serve is Start on a listener that is already open. It closes the listener.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	logger := logr.FromContextOrDiscard(ctx)
	server := &http.Server{
		Handler:           s.Handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleConnection,
		MaxHeaderBytes:    maxHeader,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(logWriter{logger}, "", 0),
		// Not nil: net/http would otherwise offer HTTP/2, which cannot be upgraded.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(tls.NewListener(listener, s.TLS)) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving the kubelet API: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close()
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the kubelet API: %w", err)
	}
	return nil
}

// logWriter takes net/http's messages: refused handshakes, mostly.
type logWriter struct{ logger logr.Logger }

// Write logs one message.
func (w logWriter) Write(message []byte) (int, error) {
	w.logger.V(1).Info("kubelet API connection", "message", string(bytes.TrimSpace(message)))
	return len(message), nil
}

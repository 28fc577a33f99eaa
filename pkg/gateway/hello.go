// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"strings"
)

// maxHello is how much of a connection is read to find the name, in bytes. The
// largest messages of real clients (post-quantum key shares, a session ticket)
// are some kilobytes long.
const maxHello = 32 << 10

var (
	errHelloTooLarge = errors.New("the ClientHello is too large")
	errHelloRead     = errors.New("the ClientHello is read")
)

// readHello reads the first message of a TLS handshake. It returns the name
// that the client asks for, in lower case and empty if there is none, and every
// byte that was read, which the server must be given. It reads at most maxHello
// bytes and answers nothing; how long it waits is the connection's deadline.
//
// The parser is crypto/tls's own, which is told to stop once it knows the name.
func readHello(conn net.Conn) (serverName string, read []byte, err error) {
	recorder := &recorder{Conn: conn}
	found := false
	err = tls.Server(recorder, &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			serverName, found = strings.ToLower(hello.ServerName), true
			return nil, errHelloRead
		},
	}).Handshake() //nolint:noctx // The deadline of conn bounds it; a context would cost a goroutine.
	if found {
		return serverName, recorder.read.Bytes(), nil
	}
	return "", nil, err
}

// recorder keeps what is read from a connection and writes nothing to it.
type recorder struct {
	net.Conn
	read bytes.Buffer
}

// Read implements io.Reader.
func (r *recorder) Read(p []byte) (int, error) {
	left := maxHello - r.read.Len()
	if left <= 0 {
		return 0, errHelloTooLarge
	}
	n, err := r.Conn.Read(p[:min(len(p), left)])
	r.read.Write(p[:n])
	return n, err
}

// Write swallows the alert with which crypto/tls answers.
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }

// Close leaves the connection open.
func (r *recorder) Close() error { return nil }

// unrecognizedName is the fatal alert unrecognized_name (RFC 6066, section 3)
// as a TLS record: the one answer to whoever is not led anywhere.
func unrecognizedName() []byte {
	const (
		recordAlert, alertFatal, alertUnrecognizedName = 21, 2, 112
	)
	return []byte{recordAlert, 3, 3, 0, 2, alertFatal, alertUnrecognizedName}
}

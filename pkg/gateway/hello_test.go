// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// clientHello returns what a real client sends first.
func clientHello(t testing.TB, config *tls.Config) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer server.Close()
	go func() {
		defer client.Close()
		// It ends when the server's side is closed: it is never answered.
		_ = tls.Client(client, config).HandshakeContext(context.WithoutCancel(t.Context()))
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(server, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(server, body); err != nil {
		t.Fatal(err)
	}
	return slices.Concat(header, body)
}

// records cuts the handshake message in a record into records of at most size bytes.
func records(hello []byte, size int) []byte {
	var out []byte
	for body := hello[5:]; len(body) > 0; {
		n := min(size, len(body))
		out = append(out, 22, 3, 1, byte(n>>8), byte(n))
		out = append(out, body[:n]...)
		body = body[n:]
	}
	return out
}

// stream is a connection that only has something to read.
type stream struct {
	net.Conn
	io.Reader
}

func (s stream) Read(p []byte) (int, error)     { return s.Reader.Read(p) }
func (stream) SetWriteDeadline(time.Time) error { return nil }

func TestReadHello(t *testing.T) {
	plain := clientHello(t, &tls.Config{ServerName: "Demo.Example.test"})
	nameless := clientHello(t, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // Nothing is verified here.
	old := clientHello(t, &tls.Config{ServerName: "old.example.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10})
	huge := append([]byte{22, 3, 1, 0x40, 0}, append([]byte{1, 0, 0xf0, 0}, make([]byte, 0x3ffc)...)...)
	for range 3 {
		huge = append(huge, append([]byte{22, 3, 1, 0x40, 0}, make([]byte, 0x4000)...)...)
	}
	cases := map[string]struct {
		input    io.Reader
		want     string
		wantRead []byte
		wantErr  bool
	}{
		"as clients send it":        {input: bytes.NewReader(plain), want: "demo.example.test", wantRead: plain},
		"byte for byte":             {input: iotest.OneByteReader(bytes.NewReader(plain)), want: "demo.example.test", wantRead: plain},
		"in many records":           {input: bytes.NewReader(records(plain, 7)), want: "demo.example.test", wantRead: records(plain, 7)},
		"in many records, bytewise": {input: iotest.OneByteReader(bytes.NewReader(records(plain, 100))), want: "demo.example.test", wantRead: records(plain, 100)},
		"an old version":            {input: bytes.NewReader(old), want: "old.example.test", wantRead: old},
		"without a name":            {input: bytes.NewReader(nameless), wantRead: nameless},
		"cut off":                   {input: bytes.NewReader(plain[:len(plain)-1]), wantErr: true},
		"nothing":                   {input: strings.NewReader(""), wantErr: true},
		"HTTP":                      {input: strings.NewReader("GET / HTTP/1.1\r\nHost: demo.example.test\r\n\r\n"), wantErr: true},
		"zeros":                     {input: bytes.NewReader(make([]byte, 4096)), wantErr: true},
		"too large":                 {input: bytes.NewReader(huge), wantErr: true},
		"empty records for ever":    {input: &repeated{unit: []byte{22, 3, 1, 0, 0}}, wantErr: true},
		"warnings for ever":         {input: &repeated{unit: []byte{21, 3, 1, 0, 2, 1, 0}}, wantErr: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, read, err := readHello(stream{Reader: tc.input})
			if (err != nil) != tc.wantErr {
				t.Fatalf("error %v, want one: %t", err, tc.wantErr)
			}
			if got != tc.want {
				t.Errorf("name %q, want %q", got, tc.want)
			}
			if !bytes.Equal(read, tc.wantRead) {
				t.Errorf("%d bytes are handed on, %d were sent", len(read), len(tc.wantRead))
			}
		})
	}
}

// repeated is an endless input. It fails a reader that takes too much of it.
type repeated struct {
	unit []byte
	read int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.unit[r.read%len(r.unit):])
	if r.read += n; r.read > 2*maxHello {
		return 0, errors.New("nobody stops reading")
	}
	return n, nil
}

func TestReadHelloIsBounded(t *testing.T) {
	// A message that is as long as crypto/tls takes, in records of 1 KiB.
	first := []byte{22, 3, 1, 0, 4, 1, 0, 0xf0, 0}
	rest := &repeated{unit: append([]byte{22, 3, 1, 4, 0}, make([]byte, 1024)...)}
	if _, _, err := readHello(stream{Reader: io.MultiReader(bytes.NewReader(first), rest)}); !errors.Is(err, errHelloTooLarge) {
		t.Errorf("got %v, want that it is too large", err)
	}
	if rest.read > maxHello {
		t.Errorf("%d bytes were read, at most %d are wanted", rest.read, maxHello)
	}
}

// TestReadHelloEndsAtTheDeadline: a client that sends nothing, or ever less, is not waited for.
func TestReadHelloEndsAtTheDeadline(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	if err := server.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := readHello(server); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}

func FuzzReadHello(f *testing.F) {
	hello := clientHello(f, &tls.Config{ServerName: "demo.example.test"})
	f.Add(hello)
	f.Add(records(hello, 7))
	f.Add(hello[:40])
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, input []byte) {
		name, read, err := readHello(stream{Reader: bytes.NewReader(input)})
		switch {
		case err != nil && (name != "" || read != nil):
			t.Errorf("an error comes with the name %q and %d bytes", name, len(read))
		case err == nil && !bytes.HasPrefix(input, read):
			t.Error("other bytes are handed on than were sent")
		case len(read) > maxHello:
			t.Errorf("%d bytes were read", len(read))
		case name != strings.ToLower(name):
			t.Errorf("the name %q is not in lower case", name)
		}
	})
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"io"
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// smallBuffer is what a connection holds while it waits: most connections
	// are watches on which nothing moves. In bytes.
	smallBuffer = 2 << 10
	// largeBuffer is what it borrows while more is waiting than fits into a
	// small one. In bytes.
	largeBuffer = 64 << 10
)

// buffers lends large buffers. Safe for concurrent use.
type buffers struct {
	pool sync.Pool
}

func newBuffers() *buffers {
	return &buffers{pool: sync.Pool{New: func() any { return new([largeBuffer]byte) }}}
}

func (b *buffers) take() *[largeBuffer]byte {
	if large, ok := b.pool.Get().(*[largeBuffer]byte); ok {
		return large
	}
	return new([largeBuffer]byte)
}

// relay copies both ways until both sides have said that they will send no
// more, or one of them is broken; then both are closed. The end of what one
// side sends is handed on (half-close), and the other way stays open.
func (b *buffers) relay(client, backend *net.TCPConn, fromClient, fromBackend prometheus.Counter) {
	var both sync.WaitGroup
	both.Go(func() {
		if b.copy(client, backend, fromBackend) != nil {
			// Whoever waits on the other way learns it by this.
			hangUp(client)
			hangUp(backend)
		}
	})
	if b.copy(backend, client, fromClient) != nil {
		hangUp(client)
		hangUp(backend)
	}
	both.Wait()
	hangUp(client)
	hangUp(backend)
}

// copy copies until source ends, and says so to destination.
func (b *buffers) copy(destination, source *net.TCPConn, count prometheus.Counter) error {
	small := make([]byte, smallBuffer)
	for {
		n, err := move(destination, source, small, count)
		// A buffer that was filled means that more is waiting.
		if n == len(small) && err == nil {
			large := b.take()
			for n, err = move(destination, source, large[:], count); n == len(large) && err == nil; {
				n, err = move(destination, source, large[:], count)
			}
			b.pool.Put(large)
		}
		if errors.Is(err, io.EOF) {
			return destination.CloseWrite()
		}
		if err != nil {
			return err
		}
	}
}

// hangUp closes a connection. That fails only where it was closed before.
func hangUp(conn net.Conn) { _ = conn.Close() }

// move does one read and writes what it has got.
func move(destination io.Writer, source io.Reader, buffer []byte, count prometheus.Counter) (int, error) {
	n, err := source.Read(buffer)
	if n > 0 {
		if _, writeErr := destination.Write(buffer[:n]); writeErr != nil {
			return n, writeErr
		}
		count.Add(float64(n))
	}
	return n, err
}

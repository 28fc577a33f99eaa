// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// proxy forwards TCP connections until it is cut, and again when it is mended.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
	// ice is open while nothing passes, and nil otherwise.
	ice chan struct{}
}

func newProxy(t *testing.T, host string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: listener, target: strings.TrimPrefix(host, "https://"), conns: map[net.Conn]struct{}{}}
	go p.serve()
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		p.cut()
		p.thaw()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		if err != nil || !p.keep(in, out) {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		go p.pump(in, out)
		go p.pump(out, in)
	}
}

// keep remembers both ends, so that cut can close them; it refuses when cut.
func (p *proxy) keep(ends ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down {
		return false
	}
	for _, end := range ends {
		p.conns[end] = struct{}{}
	}
	return true
}

func (p *proxy) pump(to, from net.Conn) {
	// A broken connection is what the proxy is for.
	_, _ = io.Copy(thawed{to, p}, from)
	_, _ = to.Close(), from.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, to)
	delete(p.conns, from)
}

// open returns how many connections there are.
func (p *proxy) open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns) / 2
}

// thawed writes while its proxy is not frozen.
type thawed struct {
	net.Conn
	p *proxy
}

func (w thawed) Write(data []byte) (int, error) {
	w.p.mu.Lock()
	ice := w.p.ice
	w.p.mu.Unlock()
	if ice != nil {
		<-ice
	}
	return w.Conn.Write(data)
}

// freeze lets nothing pass and ends no connection, as a host does that hangs.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ice = make(chan struct{})
}

// thaw lets everything pass that waited.
func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ice != nil {
		close(p.ice)
		p.ice = nil
	}
}

// cut closes every connection and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for conn := range p.conns {
		_ = conn.Close()
		delete(p.conns, conn)
	}
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

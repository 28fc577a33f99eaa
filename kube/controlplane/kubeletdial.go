// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apiserver/pkg/server/egressselector"
	"k8s.io/utils/clock"
)

const (
	// renewalWindow is how long after its pair was renewed a connection that
	// is closed may have been closed for that reason: client-go looks every
	// clientPairPeriod.
	renewalWindow = 30 * time.Second
	// lingerQuiet is how long such a connection must be silent to be closed.
	lingerQuiet = time.Minute
	// lingerMargin is how long before its certificate ends it is closed in any case.
	lingerMargin = 2 * time.Second
	// pairCache is how long client-go may use a pair that is no longer in the files.
	pairCache = 2 * time.Second
)

// kubeletDialer opens the API server's connections to kubelets. It is there so
// that a renewal of the kubelet client pair fails no request.
//
// When client-go finds that a pair was renewed, it closes every connection
// that was opened with it: in the midst of a stream, and also the very
// connection for which it was about to read the pair, whose request then
// fails. Nothing forces that: a certificate is good until it ends, a third of
// its life later. So these connections linger: they are closed when nothing
// happens on them any more, or shortly before their certificate ends. New ones
// use the new pair at once.
type kubeletDialer struct {
	certificate string // the pair's file
	dial        utilnet.DialFunc
	clock       clock.WithDelayedExecution

	mu      sync.Mutex
	end     time.Time // of the certificate in the file
	before  time.Time // of the one that was there before
	changed time.Time
}

func newKubeletDialer(certificate string) *kubeletDialer {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second} // client-go's
	return &kubeletDialer{certificate: certificate, dial: dialer.DialContext, clock: clock.RealClock{}}
}

// lookup is the dialer in the form that kube-apiserver takes one.
func (d *kubeletDialer) lookup(egressselector.NetworkContext) (utilnet.DialFunc, error) {
	return d.dialContext, nil
}

func (d *kubeletDialer) dialContext(ctx context.Context, network, address string) (net.Conn, error) {
	connection, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	lingering := &kubeletConn{Conn: connection, dialer: d, end: d.validUntil()}
	lingering.touch()
	return lingering, nil
}

// validUntil returns how long a connection that is opened now has a valid
// certificate at least. Zero means that nothing is known.
func (d *kubeletDialer) validUntil() time.Time {
	end, err := certificateEnd(d.certificate)
	if err != nil {
		return time.Time{} // the handshake will say what is wrong
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !end.Equal(d.end) {
		d.before, d.end, d.changed = d.end, end, d.clock.Now()
	}
	if !d.before.IsZero() && d.before.Before(end) && d.clock.Since(d.changed) < pairCache {
		return d.before
	}
	return end
}

// renewedLately reports whether the pair is so new that a connection may be
// closed because of it.
func (d *kubeletDialer) renewedLately() bool {
	file, err := os.Stat(d.certificate)
	return err == nil && d.clock.Since(file.ModTime()) < renewalWindow
}

// kubeletConn is a connection that may linger after it was closed.
type kubeletConn struct {
	net.Conn
	dialer  *kubeletDialer
	end     time.Time
	used    atomic.Int64 // nanoseconds since 1970
	lingers atomic.Bool
}

func (c *kubeletConn) touch() { c.used.Store(c.dialer.clock.Now().UnixNano()) }

// Read reads, and remembers when.
func (c *kubeletConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.touch()
	return n, err
}

// Write writes, and remembers when.
func (c *kubeletConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.touch()
	return n, err
}

// Close closes at once, but for the first call shortly after a renewal.
// client-go closes a connection once for a renewal and then forgets it; what
// closes one that lingers is whoever used it.
func (c *kubeletConn) Close() error {
	if c.end.IsZero() || !c.dialer.renewedLately() || !c.lingers.CompareAndSwap(false, true) {
		return c.Conn.Close()
	}
	c.closeLater()
	return nil
}

// closeLater closes when it is time, or looks again then.
func (c *kubeletConn) closeLater() {
	at := time.Unix(0, c.used.Load()).Add(lingerQuiet)
	if last := c.end.Add(-lingerMargin); last.Before(at) {
		at = last
	}
	wait := at.Sub(c.dialer.clock.Now())
	if wait <= 0 {
		_ = c.Conn.Close() // nobody is there to be told
		return
	}
	c.dialer.clock.AfterFunc(wait, c.closeLater)
}

// certificateEnd returns when the first certificate of a file ends.
func certificateEnd(path string) (time.Time, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return time.Time{}, errors.New("there is no PEM block")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, err
	}
	return certificate.NotAfter, nil
}

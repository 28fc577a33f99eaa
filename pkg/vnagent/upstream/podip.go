// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
)

const (
	// podDialTimeout is how long a pod may take to accept a forwarded connection.
	podDialTimeout = 10 * time.Second
	// pairTimeout is how long the two streams of a forwarded connection may come after each other.
	pairTimeout = 30 * time.Second
	// maxForwarded is how many connections one port-forward may have open.
	maxForwarded = 256
)

// dialFunc opens a connection to a port of a pod.
type dialFunc func(ctx context.Context, address string) (net.Conn, error)

func dialPod(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: podDialTimeout}
	return dialer.DialContext(ctx, "tcp", address)
}

// reachedByIP says whether the pod's sandbox hides its ports from the host, so
// that the super cluster's portforward cannot reach them.
func (p *Pod) reachedByIP() bool {
	class := p.superPod.Spec.RuntimeClassName
	return class != nil && p.pods.dialsPodIP[*class]
}

// forwardToIP serves a port-forward by connecting to the pod's IP address and to no other.
func (p *Pod) forwardToIP(w http.ResponseWriter, r *http.Request, numbers []string) {
	address, err := p.address()
	if err != nil {
		writeStatus(w, http.StatusConflict, err.Error())
		return
	}
	ports, err := websocketPorts(numbers)
	if err != nil {
		writeStatus(w, http.StatusBadRequest, err.Error())
		return
	}
	forwarder := &podForwarder{ctx: r.Context(), address: address, dial: p.pods.dial, slots: make(chan struct{}, maxForwarded)}
	portforward.ServePortForward(w, r, forwarder, p.superPod.Name, "", &portforward.V4Options{Ports: ports},
		0, pairTimeout, portforward.SupportedProtocols)
}

// address is the pod's own IP address. An address that could be the node's or
// this agent's own is refused.
func (p *Pod) address() (netip.Addr, error) {
	if p.superPod.Spec.HostNetwork {
		return netip.Addr{}, errors.New("the pod has no network of its own")
	}
	address, err := netip.ParseAddr(p.superPod.Status.PodIP)
	if err != nil {
		return netip.Addr{}, errors.New("the pod has no IP address yet")
	}
	hostIPs := []string{p.superPod.Status.HostIP}
	for _, hostIP := range p.superPod.Status.HostIPs {
		hostIPs = append(hostIPs, hostIP.IP)
	}
	for _, hostIP := range hostIPs {
		if host, err := netip.ParseAddr(hostIP); err == nil && host.Unmap() == address.Unmap() {
			return netip.Addr{}, errors.New("the pod has no network of its own")
		}
	}
	if !address.Unmap().IsGlobalUnicast() {
		return netip.Addr{}, errors.New("the pod's IP address cannot be reached")
	}
	return address, nil
}

// podForwarder connects forwarded streams to ports of one address.
type podForwarder struct {
	ctx     context.Context //nolint:containedctx // the library calls PortForward with a context that never ends
	address netip.Addr
	dial    dialFunc
	slots   chan struct{}
}

var _ portforward.PortForwarder = &podForwarder{}

// PortForward copies between stream and the port until either side ends or the
// request does.
func (f *podForwarder) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	if port < 1 || port > math.MaxUint16 {
		return fmt.Errorf("port %d is not in 1-65535", port)
	}
	select {
	case f.slots <- struct{}{}:
	default:
		return errors.New("too many connections are forwarded at once")
	}
	release := func() { <-f.slots }
	conn, err := f.dial(f.ctx, net.JoinHostPort(f.address.String(), strconv.Itoa(int(port))))
	if err != nil {
		release()
		logr.FromContextOrDiscard(f.ctx).V(1).Info("port of a pod does not answer", "port", port, "error", err.Error())
		return errors.New("connection refused")
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(f.ctx, func() { _ = conn.Close() })
	defer stop()
	return splice(conn, stream, release)
}

// splice copies both ways. The pod's side decides when it is over: a client
// may close its half and still read the answer. released is called when both
// copies have ended: a client that never closes its half keeps one of them.
func splice(conn net.Conn, stream io.ReadWriteCloser, released func()) error {
	fromPod := make(chan error, 1)
	toPod := make(chan error, 1)
	var copies sync.WaitGroup
	copies.Go(func() {
		_, err := io.Copy(stream, conn)
		fromPod <- err
	})
	copies.Go(func() {
		_, err := io.Copy(conn, stream)
		if half, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
			err = half.CloseWrite()
		}
		toPod <- err
	})
	go func() {
		copies.Wait()
		released()
	}()
	select {
	case err := <-fromPod:
		return closed(err)
	case err := <-toPod:
		if err != nil {
			return closed(err)
		}
		return closed(<-fromPod)
	}
}

// closed hides the error of a connection that was closed on purpose.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// websocketPorts reads the ports of a WebSocket port-forward; SPDY names them
// in the headers of its streams.
func websocketPorts(values []string) ([]int32, error) {
	var ports []int32
	for _, value := range values {
		port, err := strconv.ParseUint(value, 10, 16)
		if err != nil || port == 0 {
			return nil, errors.New("port must be in 1-65535")
		}
		ports = append(ports, int32(port))
	}
	return ports, nil
}

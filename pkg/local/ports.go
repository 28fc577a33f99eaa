// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// portTimeout bounds how long a port of a process that is gone may stay in use.
const portTimeout = 5 * time.Second

// daemonPorts are what a daemon listens on, in the cluster's network namespace.
func daemonPorts(s *state, name string) []netip.AddrPort {
	everywhere, loopback := netip.IPv4Unspecified(), netip.AddrFrom4([4]byte{127, 0, 0, 1})
	at := func(address netip.Addr, port int) netip.AddrPort { return netip.AddrPortFrom(address, uint16(port)) }
	switch name {
	case daemonControlPlane:
		return []netip.AddrPort{at(everywhere, s.APIPort), at(loopback, 2380), at(loopback, 10257)}
	case daemonScheduler:
		return []netip.AddrPort{at(loopback, 10259)}
	case daemonKubelet:
		return []netip.AddrPort{at(everywhere, 10250), at(loopback, 10248)}
	case daemonProxy:
		return []netip.AddrPort{at(everywhere, 10256), at(loopback, 10249)}
	default:
		return nil
	}
}

// clashingPort refuses a port that the API cannot have because another part of
// the cluster needs it.
func clashingPort(apiPort int) error {
	if slices.Contains([]int{2380, 10248, 10249, 10250, 10256, 10257, 10259}, apiPort) || (apiPort >= 30000 && apiPort <= 32767) {
		return fmt.Errorf("the API port %d is in use by another part of the cluster; choose another with --api-port", apiPort)
	}
	return nil
}

// checkPorts makes sure that a daemon finds its ports free, and waits a moment
// for those of a process that is just ending. Ports of the machine itself never
// matter: only what runs in the cluster's own network namespace can be in the way.
func (s *starter) checkPorts(ctx context.Context, name string) error {
	for _, port := range daemonPorts(s.state, name) {
		var last error
		err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, portTimeout, true, func(context.Context) (bool, error) {
			last = s.layout.namespaces().Run(func() error { return portFree(port) })
			return last == nil, nil
		})
		switch {
		case err == nil:
		case errors.Is(last, syscall.EADDRINUSE):
			return fmt.Errorf("port %d, which %s needs, is in use in the cluster's network namespace; end the process that has it (nsenter --net=%s ss -ltnp shows it) or run local down",
				port.Port(), name, s.layout.namespaces().NetFile())
		default:
			return fmt.Errorf("trying port %d of %s: %w", port.Port(), name, errors.Join(last, err))
		}
	}
	return nil
}

func portFree(address netip.AddrPort) error {
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(address))
	if err != nil {
		return err
	}
	return listener.Close()
}

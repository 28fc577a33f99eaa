// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package hardening

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"virtualcluster.io/virtualcluster/test/framework/await"
	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

const waitTimeout = 60 * time.Second

// eventually waits until check has no complaint.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	if err := await.Success(t.Context(), 100*time.Millisecond, waitTimeout, check); err != nil {
		t.Fatalf("%s: not within %s: %v", what, waitTimeout, err)
	}
}

func toBase64(content []byte) string { return base64.StdEncoding.EncodeToString(content) }

// peerAddress finds where the etcd member of a control plane takes peers: at
// a port that it chose itself, so it is the process's one besides the API's.
func peerAddress(controlPlane *controlplanetest.Instance) (string, error) {
	process := filepath.Join("/proc", strconv.Itoa(controlPlane.PID()))
	sockets, err := socketsOf(process)
	if err != nil {
		return "", err
	}
	table, err := os.Open(filepath.Join(process, "net", "tcp"))
	if err != nil {
		return "", err
	}
	defer table.Close()
	const listening = "0A"
	for lines := bufio.NewScanner(table); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || fields[3] != listening || !sockets[fields[9]] {
			continue
		}
		_, hex, _ := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if err != nil {
			return "", fmt.Errorf("reading the kernel's table of sockets: %w", err)
		}
		address := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)).String()
		if !strings.HasSuffix(controlPlane.Config.Host, address) {
			return address, nil
		}
	}
	return "", errors.New("the process takes no peers")
}

// socketsOf returns the inodes of a process's sockets.
func socketsOf(process string) (map[string]bool, error) {
	descriptors, err := filepath.Glob(filepath.Join(process, "fd", "*"))
	if err != nil {
		return nil, err
	}
	sockets := map[string]bool{}
	for _, descriptor := range descriptors {
		target, err := os.Readlink(descriptor)
		if err != nil {
			continue // closed meanwhile
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return sockets, nil
}

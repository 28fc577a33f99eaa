// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
)

const (
	// etcdStartTimeout bounds how long the database may take to elect itself:
	// replaying the log of a large database on a slow disk takes tens of seconds.
	etcdStartTimeout = 2 * time.Minute
	// etcdQuotaBytes is where etcd refuses writes. The etcd documentation
	// suggests 8 GiB at the most; 4 GiB keeps restarts of a tenant short.
	etcdQuotaBytes = 4 << 30
	// etcdMember is the name of the one voter. Compaction is left to the API
	// server, which compacts every five minutes.
	etcdMember = "control-plane-0"
)

// startEtcd starts the database and waits until it serves. The caller closes it.
func startEtcd(ctx context.Context, o *Options) (*embed.Etcd, error) {
	config, err := etcdConfig(o)
	if err != nil {
		return nil, err
	}
	// A socket that a killed process left behind refuses the next listener.
	if err := os.Remove(o.etcdSocket()); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("removing the stale etcd socket: %w", err)
	}
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return nil, fmt.Errorf("starting etcd in %s: %w", config.Dir, err)
	}
	timer := time.NewTimer(etcdStartTimeout)
	defer timer.Stop()
	select {
	case <-etcd.Server.ReadyNotify():
		return etcd, nil
	case err := <-etcd.Err():
		err = fmt.Errorf("etcd: %w", err)
		etcd.Close()
		return nil, err
	case <-timer.C:
		etcd.Close()
		return nil, fmt.Errorf("etcd was not ready within %s", etcdStartTimeout)
	case <-ctx.Done():
		etcd.Close()
		return nil, ctx.Err()
	}
}

// etcdConfig describes a cluster of one voter. Clients come by a unix socket in
// a directory that only this user may enter, so no certificate stands between
// a port and the database: there is no port. The peer listener takes any free
// port of the loopback address and only the etcd CA's certificates: a voter
// that is alone has no peers, but etcd insists on a listener.
func etcdConfig(o *Options) (*embed.Config, error) {
	certificates := pki(o.PKIDir)
	config := embed.NewConfig()
	config.Name = etcdMember
	config.Dir = filepath.Join(o.DataDir, "etcd")
	client := url.URL{Scheme: "unix", Path: o.etcdSocket()}
	config.ListenClientUrls = []url.URL{client}
	config.AdvertiseClientUrls = []url.URL{client}
	peer := url.URL{Scheme: "https", Host: "127.0.0.1:0"}
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = []url.URL{peer}
	config.InitialCluster = etcdMember + "=" + peer.String()
	config.PeerTLSInfo = transport.TLSInfo{
		CertFile:       certificates.path(fileEtcdPeerCert),
		KeyFile:        certificates.path(fileEtcdPeerKey),
		TrustedCAFile:  certificates.path(fileEtcdCA),
		ClientCertAuth: true,
	}
	// A single voter elects itself: nothing is gained by waiting the second
	// that a cluster on a slow network needs.
	config.TickMs, config.ElectionMs = 10, 100
	config.QuotaBackendBytes = etcdQuotaBytes
	config.LogLevel = "warn"
	// Snapshots of a small raft log cost memory for nothing in a database of one.
	config.SnapshotCount = 5000
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("etcd configuration: %w", err)
	}
	return config, nil
}

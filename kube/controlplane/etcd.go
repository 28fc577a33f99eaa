// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/url"
	"strconv"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"virtualcluster.io/virtualcluster/kube/controlplane/member"
)

const (
	// etcdQuotaBytes is where etcd refuses writes. The etcd documentation
	// suggests 8 GiB at the most; 4 GiB keeps restarts of a tenant short.
	etcdQuotaBytes = 4 << 30
	// connectionBuffer is how many bytes etcd reads or writes of a connection at once.
	connectionBuffer = 8 << 10
)

// Common names of the certificates of the etcd authority: who may speak to a
// member from outside of its process.
const (
	nameEtcdPeer = "etcd-peer"
	nameManager  = "vc-manager"
)

// etcdConfig describes this replica's member. The API server comes by a unix
// socket in a directory that only this user may enter, so no certificate stands
// between it and the database, and no other member has to be alive for the way
// to exist. Compaction is left to the API server, which compacts every five minutes.
//
// initialCluster is the list to join; empty: the member is the only one, or
// the volume knows the others.
func etcdConfig(o *Options, initialCluster string) (*embed.Config, error) {
	config := embed.NewConfig()
	config.Name = o.Member
	config.Dir = o.volume().Database()
	config.PeerTLSInfo = o.etcdTLS(nameEtcdPeer)
	config.QuotaBackendBytes = etcdQuotaBytes
	config.LogLevel = "warn"
	// The API server opens a connection for each kind of object it stores, seventy
	// and more, and most rest: a quarter of gRPC's 32 KiB for each direction saves
	// an idle tenant 3 MiB.
	config.GRPCAdditionalServerOptions = []grpc.ServerOption{
		grpc.ReadBufferSize(connectionBuffer), grpc.WriteBufferSize(connectionBuffer),
	}
	// Snapshots of a small raft log cost memory for nothing in a small database.
	config.SnapshotCount = 5000
	// The number of a database is made of its first member's address and this. By
	// the address alone a database that is made anew would be taken for the old one.
	config.InitialClusterToken = rand.Text()
	if o.replicated() {
		if err := setMemberOfSeveral(config, o); err != nil {
			return nil, err
		}
	} else {
		setOnlyMember(config, o)
	}
	config.InitialCluster = config.Name + "=" + config.AdvertisePeerUrls[0].String()
	if initialCluster != "" {
		config.ClusterState, config.InitialCluster = embed.ClusterStateFlagExisting, initialCluster
	}
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("etcd configuration: %w", err)
	}
	return config, nil
}

// setOnlyMember: there is no port for clients. The peer listener takes any free
// port of the loopback address: a voter that is alone has no peers, but etcd
// insists on a listener.
func setOnlyMember(config *embed.Config, o *Options) {
	socket := url.URL{Scheme: "unix", Path: o.etcdSocket()}
	config.ListenClientUrls = []url.URL{socket}
	config.AdvertiseClientUrls = []url.URL{socket}
	peer := url.URL{Scheme: "https", Host: "127.0.0.1:0"}
	config.ListenPeerUrls = []url.URL{peer}
	config.AdvertisePeerUrls = []url.URL{peer}
	// A single voter elects itself: nothing is gained by waiting the second
	// that a cluster on a slow network needs.
	config.TickMs, config.ElectionMs = 10, 100
}

// setMemberOfSeveral: both ports take certificates of the etcd authority only.
// The client port is for members that join and for the manager.
func setMemberOfSeveral(config *embed.Config, o *Options) error {
	peers, err := o.peers()
	if err != nil {
		return err
	}
	config.ClientTLSInfo = o.etcdTLS(nameEtcdPeer, nameManager)
	config.ListenClientUrls = []url.URL{{Scheme: "unix", Path: o.etcdSocket()}, o.listenURL(member.ClientPort)}
	config.ListenPeerUrls = []url.URL{o.listenURL(member.PeerPort)}
	client, err := url.Parse(peers.ClientURL(peers.Self))
	if err != nil {
		return fmt.Errorf("--peer-domain: %w", err)
	}
	peer, err := url.Parse(peers.PeerURL(peers.Self))
	if err != nil {
		return fmt.Errorf("--peer-domain: %w", err)
	}
	config.AdvertiseClientUrls, config.AdvertisePeerUrls = []url.URL{*client}, []url.URL{*peer}
	// Nobody needs the database as JSON, and this is one door less.
	config.EnableGRPCGateway = false
	// etcd's own defaults, for a network in which a message takes milliseconds.
	config.TickMs, config.ElectionMs = 100, 1000
	return nil
}

func (o *Options) listenURL(port int) url.URL {
	return url.URL{Scheme: "https", Host: net.JoinHostPort(o.BindAddress, strconv.Itoa(port))}
}

// etcdTLS takes certificates of the etcd authority with one of the names. The
// address of who shows one is not compared with it: a pod's address changes.
func (o *Options) etcdTLS(names ...string) transport.TLSInfo {
	certificates := pki(o.PKIDir)
	return transport.TLSInfo{
		CertFile:            certificates.path(fileEtcdPeerCert),
		KeyFile:             certificates.path(fileEtcdPeerKey),
		TrustedCAFile:       certificates.path(fileEtcdCA),
		ClientCertAuth:      true,
		AllowedCNs:          names,
		SkipClientSANVerify: true,
	}
}

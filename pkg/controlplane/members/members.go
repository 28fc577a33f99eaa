// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package members sees and changes who belongs to the database of a replicated
// control plane. It decides nothing: package reconciler says what is to be done.
package members

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const (
	// listTimeout bounds a question; the answer needs a majority.
	listTimeout = 3 * time.Second
	// changeTimeout bounds a change.
	changeTimeout = 10 * time.Second
)

// Member is one member of the database.
type Member struct {
	// ID is the database's number for it.
	ID uint64
	// Ordinal of its pod, or -1 if it is nobody's that we know.
	Ordinal int32
	// Learner says that it has no vote yet.
	Learner bool
	// Leader says that it leads the others.
	Leader bool
}

// Endpoint is where and as whom a member answers.
type Endpoint struct {
	// Address is the host:port that is dialled.
	Address string
	// TLS proves who we are, and whom we talk to: ServerName is the member's name.
	TLS *tls.Config
}

// Database asks one member of a database. Every call is bounded by a timeout.
type Database interface {
	// List returns all members, as a majority of them knows them.
	List(ctx context.Context) ([]Member, error)
	// Remove takes a member out. One that is not there is no error.
	Remove(ctx context.Context, id uint64) error
	// Lead hands the lead over to a member. Only the leader itself can be asked.
	Lead(ctx context.Context, id uint64) error
	// Close ends the connection.
	Close() error
}

// Connect returns the database at an endpoint. It does not wait for an answer.
func Connect(ctx context.Context, endpoint Endpoint) (Database, error) {
	// gRPC takes the name in the certificate from the URL, whatever TLS says: so
	// the URL has the name, and the address is where the dialer goes.
	address := "https://" + endpoint.TLS.ServerName
	dial := func(ctx context.Context, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: listTimeout}).DialContext(ctx, "tcp", endpoint.Address)
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{address}, TLS: endpoint.TLS, Context: ctx,
		DialOptions: []grpc.DialOption{grpc.WithContextDialer(dial)},
		// Who calls tries again; the client's own log would repeat each failure.
		MaxUnaryRetries: 1, Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to the database: %w", err)
	}
	return &database{client: client, url: address}, nil
}

type database struct {
	client *clientv3.Client
	url    string
}

// List implements Database.
func (d *database) List(ctx context.Context) ([]Member, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	list, err := d.client.MemberList(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the database's members: %w", err)
	}
	status, err := d.client.Status(ctx, d.url)
	if err != nil {
		return nil, fmt.Errorf("asking for the database's leader: %w", err)
	}
	return parse(list.Members, status.Leader), nil
}

// Remove implements Database.
func (d *database) Remove(ctx context.Context, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	_, err := d.client.MemberRemove(ctx, id)
	if err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return fmt.Errorf("removing a member of the database: %w", err)
	}
	return nil
}

// Lead implements Database.
func (d *database) Lead(ctx context.Context, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	if _, err := d.client.MoveLeader(ctx, id); err != nil {
		return fmt.Errorf("moving the database's lead: %w", err)
	}
	return nil
}

// Close implements Database.
func (d *database) Close() error { return d.client.Close() }

func parse(list []*etcdserverpb.Member, leader uint64) []Member {
	out := make([]Member, 0, len(list))
	for _, member := range list {
		out = append(out, Member{
			ID: member.GetID(), Ordinal: ordinal(member.GetName(), member.GetPeerURLs()),
			Learner: member.GetIsLearner(), Leader: member.GetID() == leader,
		})
	}
	return out
}

// ordinal returns the ordinal at the end of a member's name. One that has not
// started yet has no name, but the URL under which the others expect it.
func ordinal(name string, peerURLs []string) int32 {
	for _, peerURL := range peerURLs {
		if parsed, err := url.Parse(peerURL); name == "" && err == nil {
			name, _, _ = strings.Cut(parsed.Hostname(), ".")
		}
	}
	digits := name[strings.LastIndex(name, "-")+1:]
	if number, err := strconv.ParseInt(digits, 10, 32); err == nil && number >= 0 {
		return int32(number)
	}
	return -1
}

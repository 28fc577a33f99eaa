// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const (
	// listTimeout bounds how long a member may take to have its list confirmed
	// by a majority: two round trips, and an election in the worst case.
	listTimeout = 3 * time.Second
	// aliveTimeout bounds how long a member may take to answer for itself.
	aliveTimeout = time.Second
	// changeTimeout bounds a change of the membership.
	changeTimeout = 10 * time.Second
)

// Client asks the other members of the database. It connects for each call: it
// is used at start only, while members come and go. Not for concurrent use.
type Client struct {
	urls []string
	tls  *tls.Config
	// answered is who has answered the newest List: it takes the changes.
	answered string
}

var _ Cluster = (*Client)(nil)

// NewClient makes a client of all members but peers.Self. config must accept
// and show certificates of the database's authority only: behind a name of a
// member may be the address of a pod that is somebody else's by now.
func NewClient(peers Peers, config *tls.Config) *Client {
	client := &Client{tls: config}
	for _, name := range peers.Others() {
		client.urls = append(client.urls, peers.ClientURL(name))
	}
	return client
}

// List implements Cluster. It asks all at once, so that one that does not
// answer costs nothing when another does.
func (c *Client) List(ctx context.Context) (Membership, error) {
	type answer struct {
		url        string
		membership Membership
		err        error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(c.urls))
	for _, url := range c.urls {
		go func() {
			membership, err := c.listOf(ctx, url)
			answers <- answer{url, membership, err}
		}()
	}
	var silent, alive []error
	for range c.urls {
		switch one := <-answers; {
		case one.err == nil:
			c.answered = one.url
			return one.membership, nil
		case errors.Is(one.err, ErrNoMajority):
			alive = append(alive, one.err)
		default:
			silent = append(silent, one.err)
		}
	}
	if len(alive) > 0 {
		return Membership{}, errors.Join(alive...)
	}
	return Membership{}, fmt.Errorf("%w (%w)", ErrSilent, errors.Join(silent...))
}

// listOf asks one member. An error that wraps ErrNoMajority proves that there
// is a database; with any other one nothing is known.
func (c *Client) listOf(ctx context.Context, url string) (Membership, error) {
	client, err := c.connect(ctx, url)
	if err != nil {
		return Membership{}, err
	}
	defer client.Close()
	listCtx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	list, err := client.MemberList(listCtx)
	if err == nil {
		return membershipOf(list.Header.GetClusterId(), list.Members), nil
	}
	if answeredItself(err) {
		return Membership{}, fmt.Errorf("%s: %w: %w", url, ErrNoMajority, err)
	}
	aliveCtx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	if _, second := client.MemberList(aliveCtx, clientv3.WithSerializable()); second == nil || answeredItself(second) {
		return Membership{}, fmt.Errorf("%s: %w: %w", url, ErrNoMajority, err)
	}
	return Membership{}, fmt.Errorf("%s: %w", url, err)
}

// answeredItself reports whether the error is an answer of etcd, and not the lack of one.
func answeredItself(err error) bool {
	var answer rpctypes.EtcdError
	return errors.As(err, &answer)
}

// Remove implements Cluster.
func (c *Client) Remove(ctx context.Context, id uint64) error {
	return c.change(ctx, func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.MemberRemove(ctx, id)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil // that it is gone is what was asked for
		}
		return err
	})
}

// AddLearner implements Cluster.
func (c *Client) AddLearner(ctx context.Context, peerURL string) (id uint64, err error) {
	err = c.change(ctx, func(ctx context.Context, client *clientv3.Client) error {
		added, err := client.MemberAddAsLearner(ctx, []string{peerURL})
		if err == nil {
			id = added.Member.GetID()
		}
		return err
	})
	return id, err
}

func (c *Client) change(ctx context.Context, change func(context.Context, *clientv3.Client) error) error {
	client, err := c.connect(ctx, c.answered)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	return change(ctx, client)
}

func (c *Client) connect(ctx context.Context, url string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints: []string{url}, TLS: c.tls, Context: ctx,
		// Who calls tries again; the client's own log would repeat each failure.
		MaxUnaryRetries: 1, Logger: zap.NewNop(),
	})
}

func membershipOf(cluster uint64, members []*etcdserverpb.Member) Membership {
	membership := Membership{Cluster: cluster}
	for _, one := range members {
		membership.Members = append(membership.Members, Member{
			ID: one.GetID(), Name: one.GetName(), PeerURLs: one.GetPeerURLs(), Learner: one.GetIsLearner(),
		})
	}
	return membership
}

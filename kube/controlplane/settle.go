// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

const (
	// voterTimeout bounds how long a new member may take to have what the others
	// have: 4 GiB, the most there may be, in two minutes.
	voterTimeout = 2 * time.Minute
	voterPeriod  = 200 * time.Millisecond
	// updateTimeout bounds the change of a member's address.
	updateTimeout = 30 * time.Second
)

// settle waits until etcd serves, and makes this member what it is to be: a
// voter, known to the others by its own address.
func (d *database) settle(ctx context.Context) error {
	if err := d.waitServing(ctx); err != nil {
		return err
	}
	if err := d.options.volume().WriteIdentity(d.identity()); err != nil {
		return err
	}
	if !d.options.replicated() {
		return nil
	}
	if err := becomeVoter(ctx, d.Server, uint64(d.Server.MemberID())); err != nil {
		return err
	}
	peers, err := d.options.peers()
	if err != nil {
		return err
	}
	known := d.Server.Cluster().Member(d.Server.MemberID())
	if known == nil {
		return errors.New("this member is not in the database's list any more")
	}
	return publishAddress(ctx, d.Server, known, peers.PeerURL(peers.Self))
}

func (d *database) waitServing(ctx context.Context) error {
	timeout := aloneTimeout
	if members := len(d.Server.Cluster().Members()); members > 1 {
		timeout = majorityTimeout
		klog.InfoS("Waiting for a majority of the database's members", "members", members)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-d.Server.ReadyNotify():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case err := <-d.Err():
		return fmt.Errorf("etcd: %w", err)
	case <-d.Server.StopNotify():
		return d.whyStopped(ctx)
	case <-timer.C:
	}
	members := len(d.Server.Cluster().Members())
	if members > 1 && !d.options.replicated() {
		return fmt.Errorf("etcd did not serve within %s: the database has %d members, and --replicas=1 reaches none: remove the others first", timeout, members)
	}
	return fmt.Errorf("etcd did not serve within %s: of the database's %d members no majority answers", timeout, members)
}

// voter is what becoming one needs of etcd. The calls find the leader by themselves.
type voter interface {
	IsLearner() bool
	PromoteMember(ctx context.Context, id uint64) ([]*membership.Member, error)
}

// becomeVoter gives a member that follows only its vote, once it has what the others have.
func becomeVoter(ctx context.Context, server voter, id uint64) error {
	if !server.IsLearner() {
		return nil
	}
	started := time.Now()
	var last error
	err := wait.PollUntilContextTimeout(ctx, voterPeriod, voterTimeout, true, func(ctx context.Context) (bool, error) {
		if !server.IsLearner() {
			return true, nil
		}
		// Done twice (an answer was lost) it fails, and this member is no learner soon.
		_, last = server.PromoteMember(ctx, id)
		return false, nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("this member got no vote in the database within %s: %w", voterTimeout, errors.Join(err, last))
	}
	klog.InfoS("This member has a vote in the database", "after", time.Since(started).Round(time.Millisecond))
	return nil
}

// addressed is what publishing an address needs of etcd.
type addressed interface {
	UpdateMember(ctx context.Context, one membership.Member) ([]*membership.Member, error)
}

// publishAddress tells the others the address of a member that was alone until
// now, when nobody could reach it. Until then nobody joins it (see member.Joiner).
func publishAddress(ctx context.Context, server addressed, known *membership.Member, url string) error {
	if slices.Equal(known.PeerURLs, []string{url}) {
		return nil
	}
	updated := membership.Member{ID: known.ID, RaftAttributes: membership.RaftAttributes{PeerURLs: []string{url}}}
	var last error
	err := wait.PollUntilContextTimeout(ctx, voterPeriod, updateTimeout, true, func(ctx context.Context) (bool, error) {
		_, last = server.UpdateMember(ctx, updated)
		return last == nil, nil
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("publishing this member's address %s: %w", url, errors.Join(err, last))
	}
	klog.InfoS("Published this member's address", "url", url)
	return nil
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"virtualcluster.io/virtualcluster/kube/controlplane/member"
)

const (
	// aloneTimeout bounds how long the database may take to elect itself:
	// replaying the log of a large database on a slow disk takes tens of seconds.
	aloneTimeout = 2 * time.Minute
	// majorityTimeout bounds how long a member waits for a majority. It is long:
	// while members are restarted with pauses between them (the kubelet's grow to
	// five minutes), two of them must still meet.
	majorityTimeout = 10 * time.Minute
)

// database is this replica's member of the database.
type database struct {
	*embed.Etcd
	options *Options
	others  *member.Client // nil: there are none
}

// startDatabase decides how the replica takes part in the database, and returns
// when the database serves and this replica is a voter of it. The caller closes it.
func startDatabase(ctx context.Context, o *Options) (*database, error) {
	others, err := newOthers(o)
	if err != nil {
		return nil, err
	}
	d := &database{options: o, others: others}
	action, err := d.decide(ctx)
	if err != nil {
		return nil, err
	}
	if action == member.Join {
		err = d.join(ctx)
	} else {
		// What a crash has left of a first start was never a database.
		if action == member.Create {
			err = o.volume().Clear()
		}
		if err == nil {
			err = d.start("")
		}
	}
	if err != nil {
		return nil, err
	}
	if err := d.settle(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

func newOthers(o *Options) (*member.Client, error) {
	if !o.replicated() {
		return nil, nil //nolint:nilnil // a database of one member has no others.
	}
	peers, err := o.peers()
	if err != nil {
		return nil, err
	}
	config, err := o.etcdTLS(nameEtcdPeer).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the etcd certificates: %w", err)
	}
	return member.NewClient(peers, config), nil
}

// decide returns how to start: member.Start, Create or Join. It waits as long as it must not start.
func (d *database) decide(ctx context.Context) (member.Action, error) {
	waiting := ""
	for {
		intent, decision, err := d.decideNow(ctx)
		if err != nil {
			return 0, err
		}
		switch decision.Action {
		case member.Refuse:
			return 0, errors.New(decision.Reason)
		case member.MarkRemoved:
			if err := d.options.volume().MarkRemoved(intent.Revision); err != nil {
				return 0, err
			}
		case member.Wait:
			if waiting != decision.Reason {
				waiting = decision.Reason
				klog.InfoS("Waiting until this member is wanted", "reason", waiting, "revision", intent.Revision)
			}
			if err := member.WaitForChange(ctx, clock.RealClock{}, d.options.MembershipDir, intent); err != nil {
				return 0, err
			}
		default:
			klog.InfoS("Starting the database", "as", d.options.Member, "reason", decision.Reason)
			return decision.Action, nil
		}
	}
}

func (d *database) decideNow(ctx context.Context) (member.Intent, member.Decision, error) {
	intent, err := member.ReadIntent(d.options.MembershipDir)
	if err != nil {
		return intent, member.Decision{}, err
	}
	disk, err := d.options.volume().Read()
	if err != nil {
		return intent, member.Decision{}, err
	}
	peers, err := d.options.peers()
	if err != nil {
		return intent, member.Decision{}, err
	}
	situation := member.Situation{
		Replicated: d.options.replicated(), Ordinal: peers.Self.Ordinal(), Disk: disk, Intent: intent,
	}
	if situation.AskOthers() {
		situation.Others.Membership, situation.Others.Err = d.others.List(ctx)
		if ctx.Err() != nil {
			return intent, member.Decision{}, ctx.Err()
		}
	}
	return intent, member.Decide(situation), nil
}

// join starts etcd as a new member of the others' database.
func (d *database) join(ctx context.Context) error {
	if err := d.options.volume().Clear(); err != nil {
		return err
	}
	peers, err := d.options.peers()
	if err != nil {
		return err
	}
	joiner := member.Joiner{
		Peers: peers, Cluster: d.others, Clock: clock.RealClock{},
		Start: func(_ context.Context, initialCluster string) error { return d.startNew(initialCluster) },
	}
	return joiner.Join(ctx)
}

// startNew starts etcd with an empty volume. If it fails before etcd is a
// member, the volume is empty again: the members that were asked may not know
// of this one yet, so it is tried again.
func (d *database) startNew(initialCluster string) error {
	err := d.start(initialCluster)
	if err == nil {
		return nil
	}
	disk, readErr := d.options.volume().Read()
	if readErr != nil || disk.Data {
		return errors.Join(member.ErrFinal, err, readErr)
	}
	return errors.Join(err, d.options.volume().Clear())
}

// start starts etcd. It does not wait until it serves.
func (d *database) start(initialCluster string) error {
	config, err := etcdConfig(d.options, initialCluster)
	if err != nil {
		return err
	}
	// A socket that a killed process left behind refuses the next listener.
	if err := os.Remove(d.options.etcdSocket()); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("removing the stale etcd socket: %w", err)
	}
	d.Etcd, err = embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("starting etcd in %s: %w", config.Dir, err)
	}
	return nil
}

// wait returns nil when ctx ends, and an error when etcd has ended before.
func (d *database) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.Err():
		return fmt.Errorf("%w: etcd: %w", errDatabaseEnded, err)
	case <-d.Server.StopNotify():
		return fmt.Errorf("%w: %w", errDatabaseEnded, d.whyStopped(ctx))
	}
}

// whyStopped says why etcd has stopped by itself. If the others have removed
// this member, that is remembered for the next start.
func (d *database) whyStopped(ctx context.Context) error {
	id := d.identity()
	removed := d.Server.IsIDRemoved(id.Member)
	if !removed && d.others != nil {
		list, err := d.others.List(ctx)
		removed = err == nil && list.Cluster == id.Cluster && !list.Has(id.Member)
	}
	if !removed {
		return errors.New("etcd stopped by itself; its reason is in the log before this")
	}
	intent, err := member.ReadIntent(d.options.MembershipDir)
	if err == nil {
		err = d.options.volume().MarkRemoved(intent.Revision)
	}
	return errors.Join(errors.New("this member was removed from the database: it joins again when it is wanted and the revision of its membership is not "+intent.Revision), err)
}

func (d *database) identity() member.Identity {
	return member.Identity{Member: uint64(d.Server.MemberID()), Cluster: uint64(d.Server.Cluster().ID())}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

var (
	errTooMany   = errors.New("etcdserver: too many learner members in cluster")
	errUnhealthy = errors.New("etcdserver: unhealthy cluster")
	errCount     = errors.New("member count is unequal")
)

// fakeCluster is a database of the others. fail has the errors of the next calls, by call.
type fakeCluster struct {
	members []Member
	next    uint64
	fail    map[string][]error
	calls   []string
}

func (c *fakeCluster) call(name string) error {
	c.calls = append(c.calls, name)
	verb, _, _ := strings.Cut(name, " ")
	errs := c.fail[verb]
	if len(errs) == 0 {
		return nil
	}
	if len(errs) > 1 { // the last one stays
		c.fail[verb] = errs[1:]
	}
	return errs[0]
}

func (c *fakeCluster) List(context.Context) (Membership, error) {
	if err := c.call("list"); err != nil {
		return Membership{}, err
	}
	return Membership{Cluster: 7, Members: slices.Clone(c.members)}, nil
}

func (c *fakeCluster) Remove(_ context.Context, id uint64) error {
	if err := c.call(fmt.Sprintf("remove %d", id)); err != nil {
		return err
	}
	c.members = slices.DeleteFunc(c.members, func(one Member) bool { return one.ID == id })
	return nil
}

func (c *fakeCluster) AddLearner(_ context.Context, url string) (uint64, error) {
	if err := c.call("add"); err != nil {
		return 0, err
	}
	c.next++
	c.members = append(c.members, Member{ID: 100 + c.next, PeerURLs: []string{url}, Learner: true})
	return 100 + c.next, nil
}

func testPeers(t *testing.T) Peers {
	t.Helper()
	self, err := ParseName("control-plane-1")
	if err != nil {
		t.Fatal(err)
	}
	return Peers{Self: self, Domain: "peers"}
}

func peerURL(ordinal int) []string {
	return []string{fmt.Sprintf("https://control-plane-%d.peers:2380", ordinal)}
}

func TestJoin(t *testing.T) {
	const initial01 = "control-plane-0=https://control-plane-0.peers:2380,control-plane-1=https://control-plane-1.peers:2380"
	first := Member{ID: 1, Name: "control-plane-0", PeerURLs: peerURL(0)}
	third := Member{ID: 3, Name: "control-plane-2", PeerURLs: peerURL(2)}
	tests := map[string]struct {
		members []Member
		fail    map[string][]error
		want    string // calls in order
		err     string // part of it
		atMost  time.Duration
	}{
		"new":                      {members: []Member{first}, want: "list add list start"},
		"its volume is lost":       {members: []Member{first, {ID: 2, Name: "control-plane-1", PeerURLs: peerURL(1)}, third}, want: "list remove 2 list add list start"},
		"it crashed before it ran": {members: []Member{first, {ID: 9, PeerURLs: peerURL(1), Learner: true}}, want: "list remove 9 list add list start"},
		"another one joins": {
			members: []Member{first, {ID: 8, PeerURLs: peerURL(2), Learner: true}},
			fail:    map[string][]error{"add": {errTooMany, errTooMany, nil}},
			want:    "list add list add list add list start",
		},
		"the others have just met": {
			members: []Member{first, third}, fail: map[string][]error{"add": {errUnhealthy, nil}}, want: "list add list add list start",
		},
		// Its id is kept: nothing was stored under it.
		"who was asked was late": {members: []Member{first}, fail: map[string][]error{"start": {errCount, nil}}, want: "list add list start list start"},
		"the first was alone until now": {
			members: []Member{{ID: 1, Name: "control-plane-0", PeerURLs: []string{"https://127.0.0.1:0"}}},
			want:    "list", err: "member 1 at https://127.0.0.1:0, which is no replica", atMost: joinTimeout,
		},
		"nobody answers":           {fail: map[string][]error{"list": {ErrSilent}}, want: "list", err: "no other member of the database can be reached", atMost: silentTimeout},
		"no majority":              {fail: map[string][]error{"list": {ErrNoMajority}}, want: "list", err: "no majority", atMost: joinTimeout},
		"one answered, then none":  {fail: map[string][]error{"list": {ErrNoMajority, ErrSilent}}, want: "list", err: "no other member", atMost: joinTimeout},
		"nobody lets it in":        {members: []Member{first}, fail: map[string][]error{"add": {errUnhealthy}}, want: "list add", err: "unhealthy", atMost: joinTimeout},
		"it starts and then fails": {members: []Member{first}, fail: map[string][]error{"start": {ErrFinal}}, want: "list add list start", err: ErrFinal.Error()},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cluster := &fakeCluster{members: tc.members, fail: tc.fail}
			now := clocktesting.NewFakeClock(time.Unix(0, 0))
			var initial string
			joiner := Joiner{Peers: testPeers(t), Cluster: cluster, Clock: now, Start: func(_ context.Context, list string) error {
				initial = list
				return cluster.call("start")
			}}
			ended := make(chan error, 1)
			go func() { ended <- joiner.Join(t.Context()) }()
			err := stepUntil(now, ended)
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want one with %q", err, tc.err)
			}
			calls := strings.Join(cluster.calls, " ")
			if tc.err == "" && calls != tc.want || !strings.HasPrefix(calls, tc.want) {
				t.Errorf("calls %s, want %s", calls, tc.want)
			}
			if name == "new" && initial != initial01 {
				t.Errorf("started with %s, want %s", initial, initial01)
			}
			if took := now.Since(time.Unix(0, 0)); tc.atMost != 0 && (took < tc.atMost || took > tc.atMost+5*time.Second) {
				t.Errorf("gave up after %s, want %s", took, tc.atMost)
			}
		})
	}
}

// stepUntil lets time pass as long as somebody waits for it.
func stepUntil(now *clocktesting.FakeClock, ended <-chan error) error {
	for {
		select {
		case err := <-ended:
			return err
		default:
			if now.HasWaiters() {
				now.Step(joinPeriod)
			}
		}
	}
}

func TestJoinEndsWhenItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	joiner := Joiner{
		Peers: testPeers(t), Cluster: &fakeCluster{fail: map[string][]error{"list": {ErrSilent}}},
		Clock: clocktesting.NewFakeClock(time.Unix(0, 0)),
	}
	if err := joiner.Join(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package highavailability

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// patience is how long something may take that takes a few seconds on an idle machine.
const patience = 2 * time.Minute

// TestThreeReplicas is the life of one control plane: each part starts with
// three voters that the part before has left.
func TestThreeReplicas(t *testing.T) {
	replicas := controlplanetest.NewReplicas(t)
	if !t.Run("the first makes a database, the others join at once", func(t *testing.T) { testFirstStart(t, replicas) }) {
		return
	}
	replicas.Intend(t, false, "r1", 3)
	journal := startJournal(t, replicas)
	t.Run("nobody else's certificate opens the database", func(t *testing.T) { testStrangers(t, replicas) })
	for ordinal := range replicas.Each {
		t.Run(fmt.Sprintf("replica %d is killed", ordinal), func(t *testing.T) { testKilled(t, replicas, journal, ordinal) })
	}
	for _, ordinal := range []int{0, 2} {
		t.Run(fmt.Sprintf("the volume of replica %d is lost", ordinal), func(t *testing.T) { testVolumeLost(t, replicas, journal, ordinal) })
	}
	t.Run("a member is removed", func(t *testing.T) { testRemoved(t, replicas, journal) })
	t.Run("a member is removed while it is down", func(t *testing.T) { testRemovedWhileDown(t, replicas, journal) })
	t.Run("all are killed at once", func(t *testing.T) { testAllKilled(t, replicas) })
	journal.check(t, replicas)
	t.Run("they stop in order", func(t *testing.T) { testStop(t, replicas) })
}

func testFirstStart(t *testing.T, replicas *controlplanetest.Replicas) {
	began := time.Now()
	for _, one := range replicas.Each {
		one.Start(t, 3)
	}
	for ordinal, one := range replicas.Each {
		one.WaitReady(t)
		t.Logf("replica %d is ready after %s", ordinal, time.Since(began).Round(time.Millisecond))
	}
	expectVoters(t, replicas.Each[0], 3)
	for _, one := range replicas.Each {
		logStory(t, one)
	}
}

// testStrangers: a client of the API server, even an administrator, is nobody here.
func testStrangers(t *testing.T, replicas *controlplanetest.Replicas) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := replicas.Each[0].EtcdWith(t).MemberList(ctx); err == nil {
		t.Error("without a certificate the members are listed")
	}
}

func testKilled(t *testing.T, replicas *controlplanetest.Replicas, journal *journal, ordinal int) {
	journal.longestGap()
	one := replicas.Each[ordinal]
	one.Kill(t)
	expectProgress(t, journal)
	began := time.Now()
	one.Start(t, 3)
	one.WaitReady(t)
	expectVoters(t, one, 3)
	t.Logf("ready %s after its start; longest time without an acknowledged write: %s", time.Since(began).Round(time.Millisecond), journal.longestGap())
}

func testVolumeLost(t *testing.T, replicas *controlplanetest.Replicas, journal *journal, ordinal int) {
	journal.longestGap()
	one := replicas.Each[ordinal]
	before := memberIDs(t, replicas.Each[1])
	one.Kill(t)
	if err := os.RemoveAll(one.DataDir()); err != nil {
		t.Fatal(err)
	}
	expectProgress(t, journal)
	began := time.Now()
	one.Start(t, 3)
	one.WaitReady(t)
	expectVoters(t, one, 3)
	if after := memberIDs(t, one); slices.Equal(before, after) {
		t.Errorf("the members are %x as before: one that has forgotten what it had acknowledged votes", after)
	}
	t.Logf("a voter again %s after its start; longest time without an acknowledged write: %s", time.Since(began).Round(time.Millisecond), journal.longestGap())
}

func testRemoved(t *testing.T, replicas *controlplanetest.Replicas, journal *journal) {
	one := replicas.Each[2]
	remove(t, replicas.Each[0], 2)
	one.WaitExit(t, patience)
	expectProgress(t, journal)
	expectWaits(t, replicas, one)
	// A late word about its own removal must not bring it back.
	replicas.Intend(t, false, "r2", 2)
	expectLog(t, one, "is not wanted")
	if _, err := os.Stat(filepath.Join(one.DataDir(), "removed")); err != nil {
		t.Errorf("the mark of its removal: %v", err)
	}
	expectVoters(t, replicas.Each[0], 2)
	began := time.Now()
	replicas.Intend(t, false, "r3", 3)
	one.WaitReady(t)
	expectVoters(t, one, 3)
	t.Logf("a voter again %s after it was wanted", time.Since(began).Round(time.Millisecond))
}

func testRemovedWhileDown(t *testing.T, replicas *controlplanetest.Replicas, journal *journal) {
	one := replicas.Each[1]
	one.Kill(t)
	remove(t, replicas.Each[0], 1)
	expectProgress(t, journal)
	expectWaits(t, replicas, one)
	replicas.Intend(t, false, "r4", 3)
	one.WaitReady(t)
	expectVoters(t, one, 3)
}

func testAllKilled(t *testing.T, replicas *controlplanetest.Replicas) {
	for _, one := range replicas.Each {
		one.Kill(t)
	}
	began := time.Now()
	for _, one := range replicas.Each {
		one.Start(t, 3)
	}
	for ordinal, one := range replicas.Each {
		one.WaitReady(t)
		t.Logf("replica %d is ready after %s", ordinal, time.Since(began).Round(time.Millisecond))
	}
	expectVoters(t, replicas.Each[0], 3)
	for _, one := range replicas.Each {
		logStory(t, one)
	}
}

// logStory prints when the replica did what, in its newest life.
func logStory(t *testing.T, one *controlplanetest.Replica) {
	t.Helper()
	said := one.Log(t)
	said = said[max(0, strings.LastIndex(said, "Starting the database")-60):]
	for line := range strings.Lines(said) {
		for _, words := range []string{"database", "majority", "API server ready", "leader election"} {
			if strings.Contains(line, words) {
				t.Log(strings.TrimSpace(line))
				break
			}
		}
	}
}

// testStop: one of them leads the controllers, and must not fall over when it
// gives that up. With the database's majority gone the last one has it hardest.
func testStop(t *testing.T, replicas *controlplanetest.Replicas) {
	for ordinal, one := range replicas.Each {
		began := time.Now()
		one.Stop(t)
		if state := one.ExitState(); !state.Success() {
			t.Errorf("replica %d ended with %s", ordinal, state)
		}
		t.Logf("replica %d stopped in %s", ordinal, time.Since(began).Round(time.Millisecond))
	}
}

// TestOneBecomesThree, and one again: what was written stays.
func TestOneBecomesThree(t *testing.T) {
	replicas := controlplanetest.NewReplicas(t)
	first := replicas.Each[0]
	first.Start(t, 1)
	first.WaitReady(t)
	create(t, first, "of-one")
	replicas.Intend(t, false, "r1", 3)
	first.Stop(t)
	began := time.Now()
	for _, one := range replicas.Each {
		one.Start(t, 3)
	}
	for ordinal, one := range replicas.Each {
		one.WaitReady(t)
		mustExist(t, one, "of-one")
		t.Logf("replica %d is ready after %s", ordinal, time.Since(began).Round(time.Millisecond))
	}
	expectVoters(t, first, 3)
	create(t, replicas.Each[2], "of-three")

	replicas.Intend(t, false, "r2", 1)
	for _, ordinal := range []int{2, 1} {
		remove(t, first, ordinal)
		replicas.Each[ordinal].WaitExit(t, patience)
	}
	first.Stop(t)
	first.Start(t, 1)
	first.WaitReady(t)
	mustExist(t, first, "of-one")
	mustExist(t, first, "of-three")
}

// TestRefuses: a database that is lost is never replaced by an empty one.
func TestRefuses(t *testing.T) {
	tests := map[string]int{"alone": 1, "of three": 3}
	for name, of := range tests {
		t.Run(name, func(t *testing.T) {
			replicas := controlplanetest.NewReplicas(t)
			replicas.Intend(t, false, "r1", 0)
			one := replicas.Each[0]
			began := time.Now()
			one.Start(t, of)
			one.WaitExit(t, patience)
			t.Logf("refused after %s", time.Since(began).Round(time.Millisecond))
			if one.ExitState().Success() {
				t.Error("it ended as if all were well")
			}
			if said := one.Log(t); strings.Count(said, "allow-empty-database") != 1 {
				t.Errorf("the remedy is not said once:\n%s", said)
			}
			if logs, err := filepath.Glob(filepath.Join(one.DataDir(), "etcd", "member", "wal", "*")); err != nil || len(logs) > 0 {
				t.Errorf("it made a database: %v, error %v", logs, err)
			}
		})
	}
}

// expectWaits starts a member that was removed, and checks that it waits and can be stopped.
func expectWaits(t *testing.T, replicas *controlplanetest.Replicas, one *controlplanetest.Replica) {
	t.Helper()
	one.Start(t, 3)
	expectLog(t, one, "Waiting until this member is wanted")
	one.Stop(t)
	if state := one.ExitState(); !state.Success() {
		t.Errorf("stopped while it waited, it ended with %s", state)
	}
	one.Start(t, 3)
	expectVoters(t, replicas.Each[0], 2)
}

func expectLog(t *testing.T, one *controlplanetest.Replica, words string) {
	t.Helper()
	poll(t, "the log has no line with "+words, func(context.Context) (bool, error) {
		return strings.Contains(one.Log(t), words), nil
	})
}

// expectProgress waits until twenty more writes were acknowledged.
func expectProgress(t *testing.T, journal *journal) {
	t.Helper()
	start := journal.count()
	poll(t, "nothing is written any more", func(context.Context) (bool, error) {
		return journal.count() >= start+20, nil
	})
}

func expectVoters(t *testing.T, one *controlplanetest.Replica, want int) {
	t.Helper()
	members := members(t, one)
	voters := 0
	for _, member := range members {
		if !member.IsLearner {
			voters++
		}
	}
	if voters != want || len(members) != want {
		t.Errorf("%d voters of %d members, want %d", voters, len(members), want)
	}
}

func memberIDs(t *testing.T, one *controlplanetest.Replica) []uint64 {
	t.Helper()
	var ids []uint64
	for _, member := range members(t, one) {
		ids = append(ids, member.ID)
	}
	slices.Sort(ids)
	return ids
}

func members(t *testing.T, one *controlplanetest.Replica) []*etcdserverpb.Member {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	list, err := one.Etcd(t).MemberList(ctx)
	if err != nil {
		t.Fatalf("listing the members: %v", err)
	}
	return list.Members
}

// remove removes the member of that ordinal, as the manager does; etcd refuses
// as long as the others have not been connected for a while.
func remove(t *testing.T, by *controlplanetest.Replica, ordinal int) {
	t.Helper()
	etcd := by.Etcd(t)
	poll(t, "etcd does not let go of the member", func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		list, err := etcd.MemberList(ctx)
		if err != nil {
			return false, nil // tried again
		}
		for _, member := range list.Members {
			if member.Name == fmt.Sprintf("control-plane-%d", ordinal) {
				if _, err := etcd.MemberRemove(ctx, member.ID); err != nil {
					t.Logf("removing %s: %v", member.Name, err)
				}
				return false, nil // the next list tells
			}
		}
		return true, nil
	})
}

func create(t *testing.T, by *controlplanetest.Replica, name string) {
	t.Helper()
	one := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := clientOf(t, by).CoreV1().ConfigMaps("default").Create(t.Context(), one, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func poll(t *testing.T, otherwise string, done wait.ConditionWithContextFunc) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, patience, true, done); err != nil {
		t.Fatalf("%s: %v", otherwise, err)
	}
}

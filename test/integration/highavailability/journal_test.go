// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package highavailability

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	controlplanetest "virtualcluster.io/virtualcluster/test/framework/controlplane"
)

// journal writes ConfigMaps all the time, by whichever replica answers, and
// remembers those whose creation was acknowledged.
type journal struct {
	stop func()

	mu           sync.Mutex
	acknowledged []string
	failed       int
	newest       time.Time
	gap          time.Duration // the longest time without an acknowledgement
}

func startJournal(t *testing.T, replicas *controlplanetest.Replicas) *journal {
	t.Helper()
	var clients []kubernetes.Interface
	for _, one := range replicas.Each {
		clients = append(clients, clientOf(t, one))
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	j := &journal{newest: time.Now(), stop: func() { cancel(); <-ended }}
	go func() {
		defer close(ended)
		// A replica that is down refuses at once: do not ask it thousands of times.
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			j.write(ctx, clients[n%len(clients)], fmt.Sprintf("write-%06d", n))
			<-pace.C
		}
	}()
	t.Cleanup(j.stop)
	return j
}

func (j *journal) write(ctx context.Context, client kubernetes.Interface, name string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	_, err := client.CoreV1().ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.failed++
		return
	}
	j.acknowledged = append(j.acknowledged, name)
	now := time.Now()
	j.gap, j.newest = max(j.gap, now.Sub(j.newest)), now
}

// count returns how many writes were acknowledged.
func (j *journal) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.acknowledged)
}

// longestGap returns the longest time without an acknowledgement since it was called last.
func (j *journal) longestGap() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	gap := max(j.gap, time.Since(j.newest))
	j.gap = 0
	return gap.Round(time.Millisecond)
}

// check compares the journal with what each replica holds, and prints it.
func (j *journal) check(t *testing.T, replicas *controlplanetest.Replicas) {
	t.Helper()
	j.stop()
	for ordinal, one := range replicas.Each {
		list, err := clientOf(t, one).CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		held := map[string]bool{}
		for _, item := range list.Items {
			held[item.Name] = true
		}
		lost := 0
		for _, name := range j.acknowledged {
			if !held[name] {
				lost++
			}
		}
		if lost > 0 || len(j.acknowledged) == 0 {
			t.Errorf("replica %d lost %d of %d acknowledged writes", ordinal, lost, len(j.acknowledged))
		}
	}
	t.Logf("%d writes acknowledged, none may be lost; %d failed, without trying again", len(j.acknowledged), j.failed)
}

func clientOf(t *testing.T, one *controlplanetest.Replica) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(one.Config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// mustExist fails the test if an object that was acknowledged is not there.
func mustExist(t *testing.T, one *controlplanetest.Replica, name string) {
	t.Helper()
	_, err := clientOf(t, one).CoreV1().ConfigMaps("default").Get(t.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		t.Errorf("what was written before is lost: %v", err)
	} else if err != nil {
		t.Error(err)
	}
}

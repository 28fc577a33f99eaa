// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
)

// testKilledBetween (F01): the syncer is killed (kill -9) when the super cluster
// has created a pod and before the syncer learns of it, so the tenant knows
// nothing either; ten times. The next one makes no second: one creation is
// asked for in all, one super pod stands for the tenant's, and it runs within
// 30 s of the start.
func testKilledBetween(t *testing.T, w *faultWorld) {
	const rounds = 10
	w.blue.namespace(t, "between")
	w.inOrder(t)
	var slowest time.Duration
	for i := range rounds {
		before := w.superGate.writes()
		killed := w.killOnCreation(t)
		pod := makePod("between", fmt.Sprintf("pod-%d", i))
		must(t, w.blue.client.Create(t.Context(), pod))
		select {
		case <-killed:
		case <-time.After(settle):
			t.Fatal("no pod was created")
		}
		must(t, w.blue.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
		must(t, w.superClient.Get(t.Context(), w.blue.superKey(pod.Namespace, pod.Name), &corev1.Pod{}))
		if pod.Spec.NodeName != "" || pod.Status.StartTime != nil {
			t.Fatalf("the tenant knows already: %+v", pod)
		}
		w.syncer.start(t)
		slowest = max(slowest, within(t, settle, "the pod running", func(ctx context.Context) error { return running(ctx, w.blue, pod) }))
		w.inOrder(t)
		if tried := growth(before, w.superGate.writes())[call{"POST", "pods", ""}]; tried != 1 {
			t.Errorf("round %d: %d creations were asked for", i, tried)
		}
		if ran := w.node.timesRun()[pod.UID]; ran != 1 {
			t.Errorf("round %d: the pod ran %d times", i, ran)
		}
	}
	var superPods corev1.PodList
	must(t, w.superClient.List(t.Context(), &superPods, client.InNamespace(w.blue.superKey("between", "").Namespace), client.MatchingLabelsSelector{Selector: identity.Selector()}))
	if len(superPods.Items) != rounds {
		t.Errorf("%d super pods for %d", len(superPods.Items), rounds)
	}
	t.Logf("killed %d times between the creation of a super pod and the answer: each ran once, within %s of the start", rounds, slowest.Round(time.Millisecond))
}

// killOnCreation kills the syncer when the next pod has been created in the
// super cluster, before the answer reaches it. What it returns is closed then.
func (w *faultWorld) killOnCreation(t *testing.T) <-chan struct{} {
	t.Helper()
	killed, process := make(chan struct{}), w.syncer.process
	var once sync.Once
	w.superGate.onAnswer(func(r *http.Response) {
		if callOf(r.Request) != (call{"POST", "pods", ""}) || r.StatusCode != http.StatusCreated {
			return
		}
		once.Do(func() {
			if err := process.Kill(); err != nil {
				t.Error(err)
			}
			w.superGate.onAnswer(nil)
			close(killed)
		})
	})
	return killed
}

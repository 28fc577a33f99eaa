// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// The parts that the way to Ready is made of, in the order in which they end.
const (
	partAsked     = "StatefulSet made"
	partPod       = "pod made"
	partScheduled = "pod scheduled"
	partStarted   = "process started"
	partPodReady  = "pod ready"
	partAnswers   = "ControlPlaneReady"
	partSyncer    = "SyncerReady"
	partNode      = "NodeReady"
	partReady     = "Ready"
)

func parts() []string {
	return []string{partAsked, partPod, partScheduled, partStarted, partPodReady, partAnswers, partSyncer, partNode, partReady}
}

// timeline notes when it first saw each part of each virtual cluster end, by
// the clock of this process, which the creator of the virtual clusters shares.
type timeline struct {
	mu   sync.Mutex
	seen map[types.UID]map[string]time.Time
	// news is closed and replaced whenever something is noted.
	news chan struct{}
}

// watchTimeline watches until the benchmark ends.
func watchTimeline(b *testing.B) *timeline {
	b.Helper()
	t := &timeline{seen: map[types.UID]map[string]time.Time{}, news: make(chan struct{})}
	own := client.MatchingLabels{tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager}
	for _, watched := range []struct {
		list    client.ObjectList
		options []client.ListOption
		note    func(client.Object)
	}{
		{&tenancyv1alpha1.VirtualClusterList{}, nil, t.noteVirtualCluster},
		{&appsv1.StatefulSetList{}, []client.ListOption{own}, t.noteStatefulSet},
		{&corev1.PodList{}, []client.ListOption{own}, t.notePod},
	} {
		ctx, cancel := context.WithCancel(b.Context())
		watcher, err := superClient.Watch(ctx, watched.list, watched.options...)
		if err != nil {
			cancel()
			b.Fatal(err)
		}
		var watching sync.WaitGroup
		watching.Go(func() {
			for event := range watcher.ResultChan() {
				if object, ok := event.Object.(client.Object); ok {
					watched.note(object)
				}
			}
		})
		b.Cleanup(func() { cancel(); watcher.Stop(); watching.Wait() })
	}
	return t
}

func (t *timeline) note(id types.UID, part string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[id] == nil {
		t.seen[id] = map[string]time.Time{}
	}
	if _, known := t.seen[id][part]; known {
		return
	}
	t.seen[id][part] = time.Now()
	close(t.news)
	t.news = make(chan struct{})
}

func (t *timeline) noteVirtualCluster(object client.Object) {
	virtualCluster, ok := object.(*tenancyv1alpha1.VirtualCluster)
	if !ok {
		return
	}
	for _, part := range []string{partAnswers, partSyncer, partNode, partReady} {
		if meta.IsStatusConditionTrue(virtualCluster.Status.Conditions, part) {
			t.note(virtualCluster.UID, part)
		}
	}
}

func (t *timeline) noteStatefulSet(object client.Object) {
	t.note(tenantOf(object), partAsked)
}

func (t *timeline) notePod(object client.Object) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return
	}
	id := tenantOf(pod)
	t.note(id, partPod)
	if pod.Spec.NodeName != "" {
		t.note(id, partScheduled)
	}
	if slices.ContainsFunc(pod.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool { return s.State.Running != nil }) {
		t.note(id, partStarted)
	}
	if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}) {
		t.note(id, partPodReady)
	}
}

func tenantOf(object client.Object) types.UID {
	return types.UID(object.GetLabels()[tenancyv1alpha1.LabelTenantID])
}

// await returns when every one of ids has seen part, or fails the benchmark.
func (t *timeline) await(b *testing.B, part string, timeout time.Duration, ids ...types.UID) {
	b.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		t.mu.Lock()
		missing := slices.DeleteFunc(slices.Clone(ids), func(id types.UID) bool { return !t.seen[id][part].IsZero() })
		news := t.news
		t.mu.Unlock()
		if len(missing) == 0 {
			return
		}
		select {
		case <-news:
		case <-deadline.C:
			b.Fatalf("%d of %d virtual clusters have not seen %q within %s%s", len(missing), len(ids), part, timeout, describe(b, missing))
		}
	}
}

// after returns when part ended, seen from start.
func (t *timeline) after(id types.UID, part string, start time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen[id][part].Sub(start)
}

// describe says why some are not Ready.
func describe(b *testing.B, ids []types.UID) string {
	b.Helper()
	var list tenancyv1alpha1.VirtualClusterList
	if err := superClient.List(context.WithoutCancel(b.Context()), &list); err != nil {
		return ": " + err.Error()
	}
	out := ""
	for _, virtualCluster := range list.Items {
		if !slices.Contains(ids, virtualCluster.UID) {
			continue
		}
		if ready := meta.FindStatusCondition(virtualCluster.Status.Conditions, tenancyv1alpha1.ConditionReady); ready != nil {
			out += fmt.Sprintf("\n%s: %s: %s", virtualCluster.Name, ready.Reason, ready.Message)
		}
	}
	return out
}

// create makes a virtual cluster of the class and returns its id and when it was asked for.
func create(b *testing.B, name, class string) (types.UID, time.Time) {
	b.Helper()
	object := &tenancyv1alpha1.VirtualCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec:       tenancyv1alpha1.VirtualClusterSpec{ClassName: class},
	}
	start := time.Now()
	if err := superClient.Create(b.Context(), object); err != nil {
		b.Fatal(err)
	}
	return object.UID, start
}

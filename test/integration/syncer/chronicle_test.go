// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/identity"
)

// chronicle is what both sides said about each pod, for a test that failed: a
// journal tells that something is amiss, and this tells how it came to be. It
// is safe for concurrent use.
type chronicle struct {
	mu    sync.Mutex
	lines map[objectKey][]string
}

// follow writes the chronicle of these tenants until the test ends.
func (e *environment) follow(t *testing.T, tenants []*tenant) *chronicle {
	t.Helper()
	c := &chronicle{lines: map[objectKey][]string{}}
	names := map[string]string{}
	for _, tn := range tenants {
		names[tn.names.ID] = tn.vc.Name
		go c.watch(t.Context(), tn.client, "tenant", func(pod *corev1.Pod) objectKey {
			return objectKey{tn.vc.Name, kindPod, pod.Namespace, pod.Name}
		})
	}
	go c.watch(t.Context(), e.superClient, "super", func(superPod *corev1.Pod) objectKey {
		owner, _ := identity.Of(superPod)
		return objectKey{names[owner.TenantID], kindPod, owner.Namespace, owner.Name}
	})
	return c
}

func (c *chronicle) watch(ctx context.Context, pods client.WithWatch, side string, keyOf func(*corev1.Pod) objectKey) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		watcher, err := pods.Watch(ctx, &corev1.PodList{})
		if err != nil {
			return // again in a moment
		}
		defer watcher.Stop()
		for event := range watcher.ResultChan() {
			if pod, ok := event.Object.(*corev1.Pod); ok {
				c.add(keyOf(pod), side, event.Type, pod)
			}
		}
	}, time.Second)
}

func (c *chronicle) add(key objectKey, side string, what watch.EventType, pod *corev1.Pod) {
	line := fmt.Sprintf("%s %s %s %s at %s: node %q, phase %s", time.Now().Format(time.StampMilli), side, what, pod.UID, pod.ResourceVersion, pod.Spec.NodeName, pod.Status.Phase)
	if owner, ok := identity.Of(pod); ok {
		line += ", of " + string(owner.UID)
	}
	if pod.DeletionTimestamp != nil {
		line += fmt.Sprintf(", to end %s (grace %d s)", pod.DeletionTimestamp.Format(time.TimeOnly), *pod.DeletionGracePeriodSeconds)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines[key] = append(c.lines[key], line)
}

// last returns the last lines about an object.
func (c *chronicle) last(key objectKey) []string {
	const enough = 40
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := c.lines[key]
	return lines[max(0, len(lines)-enough):]
}

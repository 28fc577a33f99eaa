// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// relays is how many writes are under way at once between a tenant and the super
// cluster: as many as a syncer gives to pods of one tenant.
const relays = 8

// limit measures the physical limit: no syncer runs, and the benchmark itself
// makes the writes that a pod's life takes, with nothing in between. It looks at
// nothing but the watches, translates nothing, checks nothing and remembers
// only what it has begun.
func limit(b *testing.B, w *world, name string) int {
	const pods = 333
	w.syncer.stop(b)
	direct := w.inSuper(b, len(w.tenants), nil).burst(b, pods)
	through, end := w.relayed(b)
	relayed := through.burst(b, pods)
	end()
	bursts(name, direct, relayed)
	calm, end := w.relayed(b)
	steady := calm.steady(b, calmRate, calmPods)
	end()
	results.Note(name, "create to Running p50 at 20 pods/s", "ms", milliseconds(steady.running.quantile(0.5)))
	results.Note(name, "create to Running p99 at 20 pods/s", "ms", milliseconds(steady.running.quantile(0.99)))
	w.syncer.start()
	w.waitSynced(b)
	w.waitRest(b)
	return 0
}

// relayed returns a namespace in each tenant whose pods the benchmark itself
// relays to the super cluster, until end is called.
func (w *world) relayed(b *testing.B) (above sides, end func()) {
	b.Helper()
	below := w.inSuper(b, len(w.tenants), nil)
	for i, s := range below {
		r := &relay{ctx: b.Context(), above: newSide(b, w.tenants[i].client, "load"), below: s, slots: make(chan struct{}, relays), begun: map[string]bool{}}
		r.above.hear(r.tenantPod)
		r.below.hear(r.superPod)
		above = append(above, r.above)
	}
	return above, func() {
		for _, s := range below {
			s.end(b)
		}
	}
}

// relay makes the writes for the pods of one tenant namespace.
type relay struct {
	ctx   context.Context //nolint:containedctx // the benchmark's, for what its watches start.
	above *side
	below *side
	slots chan struct{}

	mu    sync.Mutex
	begun map[string]bool // by pod and step
}

// once begins a step of a pod's life, the first time. An error ends the benchmark.
func (r *relay) once(pod *corev1.Pod, step string, do func(context.Context, *corev1.Pod) error) {
	key := step + " " + pod.Name
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun[key] {
		return
	}
	r.begun[key] = true
	go func() {
		r.slots <- struct{}{}
		defer func() { <-r.slots }()
		if err := do(r.ctx, pod); err != nil {
			r.above.note(func() { r.above.failed = fmt.Errorf("%s pod %s: %w", step, pod.Name, err) })
		}
	}()
}

func (r *relay) tenantPod(pod *corev1.Pod, gone bool) {
	switch {
	case gone:
	case pod.DeletionTimestamp != nil:
		r.once(pod, "ending", func(ctx context.Context, pod *corev1.Pod) error {
			return r.below.client.CoreV1().Pods(r.below.namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{})
		})
	default:
		r.once(pod, "creating", func(ctx context.Context, pod *corev1.Pod) error {
			return r.below.create(ctx, pod.Name)
		})
	}
}

func (r *relay) superPod(pod *corev1.Pod, gone bool) {
	switch {
	case gone:
		r.once(pod, "removing", r.remove)
	case pod.Status.Phase == corev1.PodRunning:
		r.once(pod, "reporting", r.report)
	}
}

// report binds the tenant's pod and gives it the status. It carries no version:
// nobody else writes.
func (r *relay) report(ctx context.Context, super *corev1.Pod) error {
	pods := r.above.client.CoreV1().Pods(r.above.namespace)
	err := pods.Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.above.namespace, Name: super.Name},
		Target:     corev1.ObjectReference{Kind: "Node", Name: tenancyv1alpha1.VirtualNodeName},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	reported := newPod(r.above.namespace, super.Name)
	reported.Status = super.Status
	_, err = pods.UpdateStatus(ctx, reported, metav1.UpdateOptions{})
	return err
}

// remove ends the tenant's pod for good.
func (r *relay) remove(ctx context.Context, super *corev1.Pod) error {
	now := int64(0)
	err := r.above.client.CoreV1().Pods(r.above.namespace).Delete(ctx, super.Name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

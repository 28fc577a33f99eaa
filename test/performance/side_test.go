// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// lookInterval is how often a side is looked at by those who wait for it. The
// times that are measured are noted when the watch shows them.
const lookInterval = 20 * time.Millisecond

// creators is how many requests a side has under way at once.
const creators = 10

// side is one namespace in which pods are made and watched: of a tenant, or,
// for comparison, of the super cluster itself.
type side struct {
	client    *kubernetes.Clientset
	namespace string
	// change is applied to every pod that is made. It may be nil.
	change func(*corev1.Pod)

	mu     sync.Mutex
	pods   map[string]*life
	failed error
	heard  func(pod *corev1.Pod, gone bool)
}

// life is what was seen of a pod.
type life struct{ asked, running, ended, gone time.Time }

// newSide makes a namespace and watches its pods until the benchmark ends.
func newSide(b *testing.B, client *kubernetes.Clientset, namespace string) *side {
	b.Helper()
	s := &side{client: client, namespace: namespace, pods: map[string]*life{}}
	_, err := client.CoreV1().Namespaces().Create(b.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	must(b, err)
	until(b, "the namespace's service account", func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	list, err := client.CoreV1().Pods(namespace).List(b.Context(), metav1.ListOptions{})
	must(b, err)
	// A server may end a watch whenever it likes: this one goes on where it was.
	watcher, err := watchtools.NewRetryWatcherWithContext(b.Context(), list.ResourceVersion, &cache.ListWatch{
		WatchFuncWithContext: client.CoreV1().Pods(namespace).Watch,
	})
	must(b, err)
	b.Cleanup(watcher.Stop)
	go s.follow(watcher)
	return s
}

// end removes the namespace and waits until it is gone.
func (s *side) end(b *testing.B) {
	b.Helper()
	must(b, s.client.CoreV1().Namespaces().Delete(b.Context(), s.namespace, metav1.DeleteOptions{}))
	until(b, "the namespace is gone", func(ctx context.Context) error {
		_, err := s.client.CoreV1().Namespaces().Get(ctx, s.namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("it is still there")
		}
		return err
	})
}

// follow notes what the watch shows.
func (s *side) follow(watcher watch.Interface) {
	for event := range watcher.ResultChan() {
		now := time.Now()
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			s.note(func() { s.failed = fmt.Errorf("the watch says %v", event.Object) })
			return
		}
		s.note(func() {
			l := s.life(pod.Name)
			switch {
			case event.Type == watch.Deleted:
				l.gone = now
			case pod.Status.Phase == corev1.PodRunning && l.running.IsZero():
				l.running = now
			}
			if s.heard != nil {
				s.heard(pod, event.Type == watch.Deleted)
			}
		})
	}
}

// hear has heard called for everything that the watch shows from now on. It must
// not wait, nor look at the side.
func (s *side) hear(heard func(pod *corev1.Pod, gone bool)) {
	s.note(func() { s.heard = heard })
}

// note changes what is known.
func (s *side) note(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *side) life(name string) *life {
	l := s.pods[name]
	if l == nil {
		l = &life{}
		s.pods[name] = l
	}
	return l
}

// create makes one pod.
func (s *side) create(ctx context.Context, name string) error {
	pod := newPod(s.namespace, name)
	if s.change != nil {
		s.change(pod)
	}
	s.note(func() { s.life(name).asked = time.Now() })
	_, err := s.client.CoreV1().Pods(s.namespace).Create(ctx, pod, metav1.CreateOptions{})
	return err
}

// createAll makes n pods as fast as they are accepted.
func (s *side) createAll(ctx context.Context, n int) error {
	return each(n, func(i int) error { return s.create(ctx, fmt.Sprintf("pod-%d", i)) })
}

// deleteAll deletes all pods, with the grace that a pod has by default, as fast as it is accepted.
func (s *side) deleteAll(ctx context.Context) error {
	s.mu.Lock()
	var all []string
	for name := range s.pods {
		all = append(all, name)
	}
	s.mu.Unlock()
	return each(len(all), func(i int) error {
		s.note(func() { s.life(all[i]).ended = time.Now() })
		return s.client.CoreV1().Pods(s.namespace).Delete(ctx, all[i], metav1.DeleteOptions{})
	})
}

// each does something n times, a few at once, and returns the first error.
func each(n int, do func(i int) error) error {
	var group sync.WaitGroup
	next, failed := make(chan int), make(chan error, creators)
	for range creators {
		group.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					failed <- err
					for range next { // let the others end
					}
					return
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// wait waits until all pods are what reached says, and returns how long that
// took each from a moment of its own.
func (s *side) wait(ctx context.Context, reached func(*life) (from, to time.Time)) (spans, error) {
	var all spans
	var missing int
	err := wait.PollUntilContextCancel(ctx, lookInterval, true, func(context.Context) (bool, error) {
		all, missing = s.look(reached)
		return missing == 0, s.broken()
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %d of %d pods are not there: %w", s.namespace, missing, missing+len(all), err)
	}
	return all, nil
}

// look returns the spans of the pods that have reached something, and how many have not.
func (s *side) look(reached func(*life) (from, to time.Time)) (all spans, missing int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.pods {
		if from, to := reached(l); to.IsZero() {
			missing++
		} else {
			all = append(all, span{from, to})
		}
	}
	return all, missing
}

// broken returns what ended the watch.
func (s *side) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func isRunning(l *life) (from, to time.Time) { return l.asked, l.running }
func isGone(l *life) (from, to time.Time)    { return l.ended, l.gone }

// newPod returns a pod as a tenant writes it, without a token unless it is changed.
func newPod(namespace, name string) *corev1.Pod {
	no := false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": "bench"}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: &no,
			EnableServiceLinks:           &no,
			Containers:                   []corev1.Container{{Name: "main", Image: "bench.example/app:v1"}},
		},
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// healWithin is how long anything of this test may take until all is as it should be.
const healWithin = 4 * time.Minute

// TestHighAvailability loses each of three replicas, one volume, and goes to
// one replica and back, under a client that writes all the time and does not
// try again. Every write that was acknowledged must be there in the end.
func TestHighAvailability(t *testing.T) {
	const name = "trio"
	object := newVirtualCluster(name)
	object.Spec.ControlPlane = &tenancyv1alpha1.VirtualClusterControlPlane{Replicas: new(int32(3))}
	t.Cleanup(func() { deleteTenant(t, name) })
	created := time.Now()
	if err := superClient.Create(t.Context(), object); err != nil {
		t.Fatal(err)
	}
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "wait", "--for=condition=Ready", "vc/"+name, "--timeout=110s")
	t.Logf("Ready after %.1f s", time.Since(created).Seconds())
	h := &replicas{tenant: openTenant(t, name)}
	h.waitUpToDate(t, 3)
	t.Logf("three replicas after %.1f s", time.Since(created).Seconds())

	j := startJournal(t, h.config)
	for ordinal := range 3 {
		j.phase(t, fmt.Sprintf("kill -9 of replica %d", ordinal), func() { h.kill(t, ordinal) })
	}
	j.phase(t, "loss of a volume", func() { h.loseVolume(t, 1) })
	j.check(t)
	j.phase(t, "3 to 1", func() { h.scale(t, 1) })
	j.phase(t, "1 to 3", func() { h.scale(t, 3) })
	j.phase(t, "nothing", func() { h.waitUpToDate(t, 3) })
	j.check(t)
}

// replicas is a tenant whose control plane has several.
type replicas struct{ *tenant }

func (h *replicas) podKey(ordinal int) types.NamespacedName {
	return types.NamespacedName{Namespace: h.names().ControlPlaneNamespace(), Name: fmt.Sprintf("control-plane-%d", ordinal)}
}

// waitUpToDate waits until there are so many replicas and all are ready.
func (h *replicas) waitUpToDate(t *testing.T, want int32) {
	t.Helper()
	eventually(t, healWithin, fmt.Sprintf("%d replicas", want), func(ctx context.Context) error {
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(h.object), h.object); err != nil {
			return err
		}
		got, status := condition(h.object, tenancyv1alpha1.ConditionUpToDate), h.object.Status.ControlPlane
		if got.Status != metav1.ConditionTrue || status.Replicas != want || status.ReadyReplicas != want {
			return fmt.Errorf("%d of %d ready, %s: %s", status.ReadyReplicas, status.Replicas, got.Reason, got.Message)
		}
		return nil
	})
}

// kill ends the process of one replica, and waits until it is back.
func (h *replicas) kill(t *testing.T, ordinal int) {
	t.Helper()
	pod := &corev1.Pod{}
	if err := superClient.Get(t.Context(), h.podKey(ordinal), pod); err != nil {
		t.Fatal(err)
	}
	killContainer(t, strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://"))
	restarts := pod.Status.ContainerStatuses[0].RestartCount
	eventually(t, healWithin, "the restart of "+pod.Name, func(ctx context.Context) error {
		if err := superClient.Get(ctx, h.podKey(ordinal), pod); err != nil {
			return err
		}
		if status := pod.Status.ContainerStatuses[0]; status.RestartCount == restarts || !status.Ready {
			return fmt.Errorf("%d restarts, ready %v", status.RestartCount-restarts, status.Ready)
		}
		return nil
	})
	h.waitUpToDate(t, 3)
}

// loseVolume deletes the claim and the pod of one replica, and waits until it is back.
func (h *replicas) loseVolume(t *testing.T, ordinal int) {
	t.Helper()
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{
		Namespace: h.podKey(ordinal).Namespace, Name: "data-" + h.podKey(ordinal).Name,
	}}
	if err := superClient.Get(t.Context(), client.ObjectKeyFromObject(claim), claim); err != nil {
		t.Fatal(err)
	}
	lost := claim.UID
	for _, object := range []client.Object{
		claim, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: claim.Namespace, Name: h.podKey(ordinal).Name}},
	} {
		if err := superClient.Delete(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, healWithin, "a new volume", func(ctx context.Context) error {
		err := superClient.Get(ctx, client.ObjectKeyFromObject(claim), claim)
		if err == nil && claim.UID == lost {
			err = errors.New("the old claim is still there")
		}
		return err
	})
	h.waitUpToDate(t, 3)
}

func (h *replicas) scale(t *testing.T, want int32) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"controlPlane":{"replicas":%d}}}`, want)
	must(t, "kubectl", "--kubeconfig", superKubeconfig, "patch", "vc", h.name, "--type=merge", "-p", patch)
	h.waitUpToDate(t, want)
}

// journal is a client that writes, one object after the other, and notes which
// writes were acknowledged.
type journal struct {
	client rest.Interface
	fresh  *requests

	mutex        sync.Mutex
	acknowledged []string
	failures     map[string]int
	lastAck      time.Time
	longest      time.Duration
}

// writeTimeout bounds one write; writePause is between two. A Service chooses one
// of three replicas for each connection: one in 5,000 checks misses one of them.
const (
	looks        = 24
	writeTimeout = 5 * time.Second
	writePause   = 20 * time.Millisecond
)

// startJournal writes until the test ends.
func startJournal(t *testing.T, config *rest.Config) *journal {
	t.Helper()
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := newRequests(config, true)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{client: clientset.CoreV1().RESTClient(), fresh: fresh, failures: map[string]int{}, lastAck: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	writing.Go(func() {
		ticker := time.NewTicker(writePause)
		defer ticker.Stop()
		for number := 0; ; number++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				j.write(ctx, fmt.Sprintf("journal-%06d", number))
			}
		}
	})
	t.Cleanup(func() { cancel(); writing.Wait() })
	return j
}

func (j *journal) write(ctx context.Context, name string) {
	object := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name, Labels: map[string]string{"journal": "yes"}},
	}
	err := j.client.Post().Namespace(object.Namespace).Resource("configmaps").Body(object).
		MaxRetries(0).Timeout(writeTimeout).Do(ctx).Error()
	j.mutex.Lock()
	defer j.mutex.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			j.failures[kindOfFailure(err)]++
		}
		return
	}
	j.acknowledged = append(j.acknowledged, name)
	j.longest = max(j.longest, time.Since(j.lastAck))
	j.lastAck = time.Now()
}

// kindOfFailure puts alike errors together.
func kindOfFailure(err error) string {
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	for _, part := range []string{"connection refused", "connection reset", "EOF", "GOAWAY", "http2", "deadline exceeded", "Timeout", "i/o timeout", "etcdserver"} {
		if strings.Contains(err.Error(), part) {
			return part
		}
	}
	return err.Error()
}

// phase prints what the client saw while something was done.
func (j *journal) phase(t *testing.T, what string, do func()) {
	t.Helper()
	j.mutex.Lock()
	before := len(j.acknowledged)
	j.failures, j.longest = map[string]int{}, 0
	j.mutex.Unlock()
	started := time.Now()
	do()
	took := time.Since(started)
	// A write that began before the end counts: the next that is acknowledged ends the phase.
	j.mutex.Lock()
	after := len(j.acknowledged)
	j.mutex.Unlock()
	eventually(t, healWithin, "the next write", func(context.Context) error {
		j.mutex.Lock()
		defer j.mutex.Unlock()
		if len(j.acknowledged) == after {
			return errors.New("nothing is acknowledged any more")
		}
		return nil
	})
	j.mutex.Lock()
	defer j.mutex.Unlock()
	failed := 0
	for _, n := range j.failures {
		failed += n
	}
	t.Logf("%-22s %5.1f s, %5d writes, %3d failed %v, longest pause %.1f s",
		what+":", took.Seconds(), len(j.acknowledged)-before, failed, j.failures, j.longest.Seconds())
}

// check reads everything that was acknowledged, on so many connections that it
// reads from every replica: one that had begun anew would answer as well.
func (j *journal) check(t *testing.T) {
	t.Helper()
	j.mutex.Lock()
	acknowledged := slices.Clone(j.acknowledged)
	j.mutex.Unlock()
	lost := map[string]bool{}
	for range looks {
		there := j.look(t)
		for _, name := range acknowledged {
			if !there[name] {
				lost[name] = true
			}
		}
	}
	t.Logf("%d writes were acknowledged, %d are lost", len(acknowledged), len(lost))
	if len(lost) > 0 {
		t.Fatalf("%d acknowledged writes are lost, at one replica at least", len(lost))
	}
}

// look reads the names of all that is there, on a connection of its own.
func (j *journal) look(t *testing.T) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	eventually(t, 20*time.Second, "a list of what was written", func(ctx context.Context) error {
		content, err := j.fresh.do(ctx, http.MethodGet, "/api/v1/namespaces/"+metav1.NamespaceDefault+"/configmaps?labelSelector=journal%3Dyes", nil, http.StatusOK)
		if err != nil {
			return err
		}
		list := &corev1.ConfigMapList{}
		if err := json.Unmarshal(content, list); err != nil {
			return err
		}
		for i := range list.Items {
			there[list.Items[i].Name] = true
		}
		return nil
	})
	return there
}

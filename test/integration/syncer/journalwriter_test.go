// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The kinds of objects in the journal.
const (
	kindNamespace = "Namespace"
	kindPod       = "Pod"
	kindConfigMap = "ConfigMap"
	kindSecret    = "Secret"
	kindService   = "Service"
)

// revisionLabel holds what the client wrote last.
const revisionLabel = "example.com/revision"

// slotsPerKind is how many objects of one kind a writer has in a namespace.
const slotsPerKind = 8

// writer is one client of one tenant. All that it writes lies in two namespaces
// of its own, so that it knows the state of each object without a read.
type writer struct {
	tenant  *tenant
	journal *journal
	random  *rand.Rand
	pace    flowcontrol.RateLimiter
	// home stays; churn comes and goes with all that is in it.
	home, churn string
	slots       map[objectKey]*slot
	revision    int
}

// slot is an object that may exist.
type slot struct {
	uid types.UID // of the last object of this name that was created
	// live says that it exists; lost says that it should and does not, or
	// nobody knows: the slot is left as it is, for the checker to see.
	live, lost bool
}

func newWriter(tn *tenant, j *journal, pace flowcontrol.RateLimiter, seed uint64, number int) *writer {
	return &writer{
		tenant: tn, journal: j, pace: pace,
		random: rand.New(rand.NewPCG(seed, uint64(number))), //nolint:gosec // replayed by its seed.
		home:   fmt.Sprintf("home-%d", number), churn: fmt.Sprintf("churn-%d", number),
		slots: map[objectKey]*slot{},
	}
}

// write does one write after another until enough have been acknowledged.
func (w *writer) write(ctx context.Context, enough int) error {
	return w.writeUntil(ctx, func(acknowledged int) bool { return acknowledged >= enough })
}

func (w *writer) writeUntil(ctx context.Context, enough func(acknowledged int) bool) error {
	if err := w.create(ctx, w.key(kindNamespace, "", w.home)); err != nil {
		return err
	}
	for !enough(w.journal.acknowledged()) {
		if err := w.pace.Wait(ctx); err != nil {
			return fmt.Errorf("after %d writes: %w", w.journal.acknowledged(), err)
		}
		if err := w.step(ctx, w.pick()); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) key(kind, namespace, name string) objectKey {
	return objectKey{w.tenant.vc.Name, kind, namespace, name}
}

// pick draws the object to write next.
func (w *writer) pick() objectKey {
	namespace := w.home
	if w.random.IntN(8) == 0 {
		namespace = w.churn
	}
	number := strconv.Itoa(w.random.IntN(slotsPerKind))
	switch n := w.random.IntN(100); {
	case n < 35:
		return w.key(kindPod, namespace, "pod-"+number)
	case n < 55:
		return w.key(kindConfigMap, namespace, "config-"+number)
	case n < 75:
		return w.key(kindSecret, namespace, "secret-"+number)
	case n < 96:
		return w.key(kindService, namespace, "service-"+number)
	default:
		return w.key(kindNamespace, "", w.churn)
	}
}

func (w *writer) slot(key objectKey) *slot {
	if w.slots[key] == nil {
		w.slots[key] = &slot{}
	}
	return w.slots[key]
}

// step writes an object: it comes, changes, goes, or goes and comes at once.
func (w *writer) step(ctx context.Context, key objectKey) error {
	s := w.slot(key)
	if s.lost || (key.namespace == w.churn && !w.slot(w.key(kindNamespace, "", w.churn)).live) {
		return nil
	}
	n := w.random.IntN(100)
	switch {
	case !s.live:
		return w.create(ctx, key)
	case n < 50 && key.kind != kindNamespace:
		return w.update(ctx, key)
	case n < 80:
		return w.remove(ctx, key)
	default:
		if err := w.remove(ctx, key); err != nil {
			return err
		}
		return w.create(ctx, key)
	}
}

func (w *writer) create(ctx context.Context, key objectKey) error {
	w.revision++
	object := w.object(key)
	err := w.tenant.client.Create(ctx, object)
	s := w.slot(key)
	if w.record(entry{op: created, key: key, uid: object.GetUID(), version: object.GetResourceVersion(), revision: w.marker(key)}, err) {
		s.uid, s.live = object.GetUID(), true
	}
	return unexpected(ctx, err)
}

func (w *writer) update(ctx context.Context, key objectKey) error {
	w.revision++
	s := w.slot(key)
	object := w.object(key)
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"labels":{%q:%q}}}`, s.uid, revisionLabel, w.marker(key))
	err := w.tenant.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
	w.record(entry{op: updated, key: key, uid: s.uid, version: object.GetResourceVersion(), revision: w.marker(key)}, err)
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		s.lost = true
		return nil
	}
	return unexpected(ctx, err)
}

func (w *writer) remove(ctx context.Context, key objectKey) error {
	s := w.slot(key)
	options := []client.DeleteOption{client.Preconditions{UID: &s.uid}}
	if key.kind == kindPod {
		options = append(options, client.GracePeriodSeconds([]int64{0, 1, 30}[w.random.IntN(3)]))
	}
	err := w.tenant.client.Delete(ctx, w.object(key), options...)
	if apierrors.IsNotFound(err) {
		// An API server marks an object before it removes it; if somebody else
		// removes it in between, the one who asked first is told this. So nobody
		// knows who did it, but it is gone: an update would tell if it was lost.
		w.journal.add(entry{op: deleted, key: key, uid: s.uid, unknown: true, at: time.Now()})
		s.live = false
		return nil
	}
	if w.record(entry{op: deleted, key: key, uid: s.uid}, err) {
		s.live = false
	}
	if apierrors.IsConflict(err) {
		s.lost = true
		return nil
	}
	if err == nil && key.kind == kindNamespace {
		w.removeWith(key.name)
	}
	return unexpected(ctx, err)
}

// removeWith records that a namespace takes what is in it with it.
func (w *writer) removeWith(namespace string) {
	for key, s := range w.slots {
		if key.namespace == namespace && s.live {
			w.journal.mu.Lock()
			w.journal.entries = append(w.journal.entries, entry{op: deleted, key: key, uid: s.uid, at: time.Now()})
			w.journal.mu.Unlock()
			s.live = false
		}
	}
}

// record notes a write and reports whether it was acknowledged. A refusal is
// no write; of everything else nobody knows whether it happened.
func (w *writer) record(e entry, err error) bool {
	e.at = time.Now()
	var status apierrors.APIStatus
	switch {
	case err == nil:
		w.journal.add(e)
		return true
	case errors.As(err, &status) && status.Status().Code < 500 && status.Status().Code > 0:
		return false
	default:
		e.unknown = true
		w.journal.add(e)
		w.slot(e.key).lost = true
		return false
	}
}

// unexpected drops the errors that a client of a busy cluster lives with: the
// name is still held by what is going, the namespace is going, or the write's
// fate is unknown, which is in the journal.
func unexpected(ctx context.Context, err error) error {
	var status apierrors.APIStatus
	switch {
	case err == nil, apierrors.IsAlreadyExists(err), apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return ctx.Err()
	case errors.As(err, &status) && status.Status().Code < 500:
		return fmt.Errorf("a client's write: %w", err)
	}
	return ctx.Err()
}

// marker is what this write leaves in the object. Of a namespace nothing crosses.
func (w *writer) marker(key objectKey) string {
	if key.kind == kindNamespace {
		return ""
	}
	return strconv.Itoa(w.revision)
}

// object returns a new object of the key's kind.
func (w *writer) object(key objectKey) client.Object {
	meta := metav1.ObjectMeta{Namespace: key.namespace, Name: key.name, Labels: map[string]string{revisionLabel: w.marker(key)}}
	revision := strconv.Itoa(w.revision)
	switch key.kind {
	case kindNamespace:
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: key.name}}
	case kindConfigMap:
		return &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"revision": revision}}
	case kindSecret:
		return &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"revision": []byte(revision)}}
	case kindService:
		return &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": revision}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
		}}
	default:
		pod := makePod(key.namespace, key.name)
		pod.Labels = meta.Labels
		pod.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{
			{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config-" + strconv.Itoa(w.random.IntN(slotsPerKind))}}},
			{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "secret-" + strconv.Itoa(w.random.IntN(slotsPerKind))}}},
		}
		return pod
	}
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/lru"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// Reasons of the Warning events on a tenant's object.
const (
	// ReasonRejected: the object can never be synced as it is; the message names field and remedy.
	ReasonRejected = "SyncRejected"
	// ReasonIgnored: a field has no effect; the message names it.
	ReasonIgnored = "SyncIgnored"
	// ReasonChanged: the platform has changed the object, because it could not work as it was.
	ReasonChanged = "SyncChanged"
	// ReasonFailed: the super cluster refused the object; it is tried again.
	ReasonFailed = "SyncFailed"
	// ReasonWaiting: something the object needs has not arrived for a while.
	ReasonWaiting = "SyncWaiting"
	// ReasonUnplaced: no node of the tenant takes the pod; the word is a scheduler's.
	ReasonUnplaced = "FailedScheduling"
)

// reportingController is how the syncer's events are signed.
const reportingController = "virtualcluster.io/syncer"

// rememberedEvents bounds the memory of events that were sent.
const rememberedEvents = 8192

// recorder writes Warning events to tenants, each once per object, reason and
// message: the event's name is a digest of these, so that even a restarted
// syncer does not repeat itself while the event lives.
type recorder struct {
	clock clock.PassiveClock
	mu    sync.Mutex
	sent  *lru.Cache
}

func newRecorder(c clock.PassiveClock) *recorder {
	return &recorder{clock: c, sent: lru.New(rememberedEvents)}
}

// warn tells the tenant about its object. Failures are logged: an event is
// never a reason to fail a sync.
func (r *recorder) warn(ctx context.Context, tenantClient client.Client, object client.Object, reason, message string) {
	const maxMessage = 1000
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "")
	}
	name := eventName(object, reason, message)
	r.mu.Lock()
	_, known := r.sent.Get(name)
	r.mu.Unlock()
	if known {
		return
	}
	event, err := r.event(tenantClient, object, name, reason, message)
	if err == nil {
		err = tenantClient.Create(ctx, event)
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		ctrl.LoggerFrom(ctx).Info("Cannot write an event to the tenant", "reason", reason, "error", err.Error())
		return
	}
	r.mu.Lock()
	r.sent.Add(name, nil)
	r.mu.Unlock()
}

func (r *recorder) event(tenantClient client.Client, object client.Object, name, reason, message string) (*corev1.Event, error) {
	gvk, err := apiutil.GVKForObject(object, tenantClient.Scheme())
	if err != nil {
		return nil, err
	}
	namespace := object.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	now := metav1.NewTime(r.clock.Now())
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		InvolvedObject: corev1.ObjectReference{
			APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind,
			Namespace: object.GetNamespace(), Name: object.GetName(), UID: object.GetUID(),
		},
		Reason: reason, Message: message, Type: corev1.EventTypeWarning,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source:              corev1.EventSource{Component: "syncer"},
		ReportingController: reportingController,
	}, nil
}

func eventName(object client.Object, reason, message string) string {
	digest := sha256.Sum256([]byte(strings.Join([]string{string(object.GetUID()), reason, message}, "\x00")))
	name := object.GetName()
	const maxName = 200
	if len(name) > maxName {
		name = strings.TrimRight(name[:maxName], "-.")
	}
	return name + "." + hex.EncodeToString(digest[:8])
}

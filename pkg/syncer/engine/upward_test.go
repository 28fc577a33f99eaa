// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/fleet"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// events are shown to whose pod they are about; warnings first.
func events() kind.Upward[*corev1.Event] {
	return kind.Upward[*corev1.Event]{
		Object: &corev1.Event{},
		About: func(super *corev1.Event) (client.Object, types.NamespacedName, types.UID) {
			about := super.InvolvedObject
			return &corev1.Pod{}, types.NamespacedName{Namespace: about.Namespace, Name: about.Name}, about.UID
		},
		Urgent:  func(super *corev1.Event) bool { return super.Type == corev1.EventTypeWarning },
		Visible: func(kind.Facts, *corev1.Event) bool { return true },
		Up: func(_ kind.Env, super *corev1.Event, _ kind.Subject, tenant *corev1.Event) error {
			tenant.Reason = super.Reason
			return nil
		},
	}
}

func superEvent() *corev1.Event {
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: superNamespaceName(), Name: "web.1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: superNamespaceName(), Name: "web", UID: "super"},
	}
}

// TestWhatAnEventIsAbout: it may be seen after the event, but not for ever.
func TestWhatAnEventIsAbout(t *testing.T) {
	for name, tc := range map[string]struct {
		there       bool
		waited      time.Duration
		shown, wait bool
	}{
		"it is there":              {there: true, shown: true},
		"it is there, after long":  {there: true, waited: time.Minute, shown: true},
		"it is not there yet":      {wait: true},
		"it has not come for long": {waited: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			superSide := newSide(append(superObjects("new")[:1], superEvent())...)
			if tc.there {
				superSide = newSide(append(superObjects("new"), superEvent())...)
			}
			tenantSide := newSide(tenantObjects("new")...)
			e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{events().Translator()}})
			if err != nil {
				t.Fatal(err)
			}
			key := types.NamespacedName{Namespace: "shop", Name: "web.1"}
			p := &pass{
				controller: e.controllers[0], tenantCluster: newTenant(t.Context(), fleet.NewTenant(tenantSide, "tenant-1", virtualCluster, fleet.Facts{})),
				request: request{Tenant: "tenant-1", NamespacedName: key}, added: e.options.Clock.Now().Add(-tc.waited),
			}
			_, err = p.reconcile(t.Context())
			if kind.IsWait(err) != tc.wait || !tc.wait && err != nil {
				t.Errorf("the pass ended with %v", err)
			}
			if shown := exists(t, tenantSide.live, key, &corev1.Event{}); shown != tc.shown {
				t.Errorf("shown: %v, want %v", shown, tc.shown)
			}
		})
	}
}

func TestWarningsFirst(t *testing.T) {
	e, err := New(Options{Super: newSide(), Kinds: []*kind.Translator{events().Translator()}})
	if err != nil {
		t.Fatal(err)
	}
	warning := superEvent()
	warning.Type = corev1.EventTypeWarning
	if c := e.controllers[0]; c.urgency(warning) != finish || c.urgency(superEvent()) != begin {
		t.Error("a warning does not come first")
	}
}

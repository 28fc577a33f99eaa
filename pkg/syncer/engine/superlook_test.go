// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// TestASuperClusterThatWasSetBack: only a version below what the caches have
// shown says so; no answer says nothing.
func TestASuperClusterThatWasSetBack(t *testing.T) {
	unreachable := errors.New("connection refused")
	cases := map[string]struct {
		shown, now string
		err, want  error
	}{
		"nothing was shown yet": {"", "5", nil, nil},
		"rests":                 {"50", "50", nil, nil},
		"went on":               {"50", "100", nil, nil},
		"was set back":          {"100", "50", nil, errSuperWentBack},
		"does not answer":       {"100", "", unreachable, unreachable},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			superSide := newSide()
			superSide.live = interceptor.NewClient(superSide.live, interceptor.Funcs{
				List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
					list.SetResourceVersion(tc.now)
					return tc.err
				},
			})
			e, err := New(Options{Super: superSide, Kinds: []*kind.Translator{process().Translator()}})
			if err != nil {
				t.Fatal(err)
			}
			c := e.controllers[0]
			superPod := &corev1.Pod{}
			superPod.ResourceVersion = tc.shown
			c.superEvent(t.Context())(superPod, false)
			if err := c.lookAtSuper(t.Context()); !errors.Is(err, tc.want) || (tc.want == nil && err != nil) {
				t.Errorf("error %v, want %v", err, tc.want)
			}
		})
	}
}

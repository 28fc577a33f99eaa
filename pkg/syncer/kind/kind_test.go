// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kind

import (
	"context"
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/names"
)

func TestErrorsAreFoundWhenWrapped(t *testing.T) {
	wait, reject := Wait("node %s", "a"), Reject("spec.x", "use %s", "y")
	wrapped := fmt.Errorf("doing: %w", wait)
	if !IsWait(wrapped) || IsWait(reject) || IsWait(errors.New("x")) || IsWait(nil) {
		t.Error("IsWait")
	}
	if wait.Error() != "waiting for node a" {
		t.Errorf("it says %q", wait)
	}
	found := AsReject(fmt.Errorf("doing: %w", reject))
	if found == nil || found.Field != "spec.x" || found.Error() != "spec.x: use y" || AsReject(wait) != nil || AsReject(nil) != nil {
		t.Errorf("AsReject found %+v", found)
	}
}

func TestTranslatorErasesTheType(t *testing.T) {
	translator := Downward[*corev1.ConfigMap]{
		Object: &corev1.ConfigMap{},
		Down: func(_ context.Context, _ Env, tenant, super *corev1.ConfigMap) error {
			super.Data = tenant.Data
			return nil
		},
	}.Translator()
	super := translator.New()
	if err := translator.Down(t.Context(), Env{}, &corev1.ConfigMap{Data: map[string]string{"a": "1"}}, super); err != nil {
		t.Fatal(err)
	}
	if got := super.(*corev1.ConfigMap).Data["a"]; got != "1" || translator.Name != "ConfigMap" || translator.Direction != Down {
		t.Errorf("data %q of %s, %s", got, translator.Name, translator.Direction)
	}
	if translator.Up != nil || translator.Select != nil || translator.Attach != nil || translator.Explain != nil {
		t.Error("a function that the kind lacks is not nil")
	}
	tenant := names.Tenant{ID: "t", Name: "demo"}
	want := types.NamespacedName{Namespace: tenant.Namespace("shop"), Name: "x"}
	if got := translator.SuperKey(tenant, types.NamespacedName{Namespace: "shop", Name: "x"}); got != want {
		t.Errorf("super key %s, want %s", got, want)
	}
	if translator.New() == super {
		t.Error("New returns the same object")
	}
}

func TestIncompleteKindsPanic(t *testing.T) {
	cases := map[string]func(){
		"no Down": func() { Downward[*corev1.Pod]{Object: &corev1.Pod{}}.Translator() },
		"no Visible": func() {
			Upward[*corev1.Event]{Object: &corev1.Event{}, About: func(*corev1.Event) (client.Object, types.NamespacedName, types.UID) {
				return nil, types.NamespacedName{}, ""
			}}.Translator()
		},
	}
	for name, do := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it did not panic")
				}
			}()
			do()
		})
	}
}

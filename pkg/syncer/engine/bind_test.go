// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// TestABindingIsWrittenOnce: the super pod's next event comes before the
// tenant's cache shows the binding.
func TestABindingIsWrittenOnce(t *testing.T) {
	k := process()
	k.Attach = nil
	k.Placement = func(super, _ *corev1.Pod) string { return super.Spec.NodeName }
	tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")...)
	bindings := 0
	tenantSide.intercept(interceptor.Funcs{SubResourceCreate: func(_ context.Context, _ client.Client, path string, _, _ client.Object, _ ...client.SubResourceCreateOption) error {
		if path == "binding" {
			bindings++
		}
		return nil
	}})
	pass := newPasses(t, k.Translator(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide)
	for range 3 {
		if err := pass(); err != nil {
			t.Fatal(err)
		}
	}
	if bindings != 1 {
		t.Errorf("%d bindings", bindings)
	}
}

// TestNothingFailsInANamespaceThatGoes: a tenant namespace that terminates takes
// neither bindings nor requests of tokens, and a super namespace no Secret. The
// pod in it ends as well: that is a wait, which nobody is told about.
func TestNothingFailsInANamespaceThatGoes(t *testing.T) {
	going := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", nil)
	going.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	denied := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", nil)
	for name, tc := range map[string]struct {
		refused string // what is refused
		err     error
		waits   bool
	}{
		"binding":          {"binding", going, true},
		"token":            {"token", going, true},
		"secret":           {"secret", going, true},
		"a denied binding": {"binding", denied, false},
		"a denied token":   {"token", denied, false},
		"a denied secret":  {"secret", denied, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := process()
			k.Placement = func(super, _ *corev1.Pod) string { return super.Spec.NodeName }
			k.Attach = func(context.Context, kind.Env, *corev1.Pod, *corev1.Pod) (*kind.Attachment, error) {
				return &kind.Attachment{Name: "beside", Tokens: map[string]kind.Token{"token": {Namespace: "shop", ServiceAccount: "default"}}}, nil
			}
			tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")...)
			refuse := func(what string) error {
				if what == tc.refused {
					return tc.err
				}
				return nil
			}
			tenantSide.intercept(interceptor.Funcs{SubResourceCreate: func(_ context.Context, _ client.Client, path string, _, answer client.Object, _ ...client.SubResourceCreateOption) error {
				if request, ok := answer.(*authenticationv1.TokenRequest); ok {
					request.Status.ExpirationTimestamp = metav1.NewTime(metav1.Now().Add(time.Hour))
				}
				return refuse(path)
			}})
			superSide.intercept(interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
				return refuse("secret")
			}})
			key := types.NamespacedName{Namespace: "shop", Name: "web"}
			err := reconcileKind(t, k.Translator(), key, tenantSide, superSide)
			if kind.IsWait(err) != tc.waits || isRefusal(err) == tc.waits {
				t.Errorf("error %v, want a wait: %v", err, tc.waits)
			}
		})
	}
}

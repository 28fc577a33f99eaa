// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/identity"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

var widgetKind = schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}

// widget returns a custom resource.
func widget(namespace string, uid types.UID, content map[string]any) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: content}
	if content == nil {
		object.Object = map[string]any{}
	}
	object.SetGroupVersionKind(widgetKind)
	object.SetNamespace(namespace)
	object.SetName("web")
	object.SetUID(uid)
	return object
}

// widgets copies spec down and status up.
func widgets() *kind.Translator {
	copied := func(field string, from, to *unstructured.Unstructured) error {
		to.Object[field] = runtime.DeepCopyJSONValue(from.Object[field])
		return nil
	}
	return kind.Downward[*unstructured.Unstructured]{
		Object: widget("", "", nil),
		Down: func(_ context.Context, _ kind.Env, tenant, super *unstructured.Unstructured) error {
			return copied("spec", tenant, super)
		},
		Up: func(_ context.Context, _ kind.Env, super, tenant *unstructured.Unstructured) error {
			return copied("status", super, tenant)
		},
	}.Translator()
}

// customSide is a cluster that serves widgets, with a status of their own or without.
func customSide(t *testing.T, withStatus bool, objects ...client.Object) *side {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	scheme.AddKnownTypeWithName(widgetKind, &unstructured.Unstructured{})
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...)
	if withStatus {
		builder = builder.WithStatusSubresource(widget("", "", nil))
	}
	c := builder.Build()
	return &side{cached: c, live: c}
}

// superWidget stands for the tenant's widget of a UID.
func superWidget(uid types.UID, content map[string]any) []client.Object {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: superNamespaceName()}}
	identity.Stamp(namespace, identity.Owner{TenantID: "tenant-1", Name: "shop", UID: "ns"}, virtualCluster)
	object := widget(superNamespaceName(), "super", content)
	identity.Stamp(object, identity.Owner{TenantID: "tenant-1", Namespace: "shop", Name: "web", UID: uid}, virtualCluster)
	return []client.Object{namespace, object}
}

// TestAKindThatIsGone: an API server that does not serve a kind says nothing
// about its objects. Those whose end was seen are gone; no others are.
func TestAKindThatIsGone(t *testing.T) {
	for name, tc := range map[string]struct {
		uid  types.UID
		kept bool
	}{"its end was seen": {"new", false}, "nobody saw its end": {"other", true}} {
		t.Run(name, func(t *testing.T) {
			tenantSide, superSide := customSide(t, true), customSide(t, true, superWidget(tc.uid, nil)...)
			tenantSide.live = interceptor.NewClient(tenantSide.live, interceptor.Funcs{
				Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
					return fmt.Errorf("reading: %w", ErrNotServed)
				},
			})
			err := reconcileKind(t, widgets(), types.NamespacedName{Namespace: "shop", Name: "web"}, tenantSide, superSide)
			key := types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}
			if kept := exists(t, superSide.cached, key, widget("", "", nil)); kept != tc.kept || (err != nil) != tc.kept {
				t.Errorf("kept %v, error %v; want kept %v", kept, err, tc.kept)
			}
		})
	}
}

// TestStatusOfCustomResources: it is written whether or not it is a subresource.
func TestStatusOfCustomResources(t *testing.T) {
	for name, withStatus := range map[string]bool{"a subresource": true, "in the object": false} {
		t.Run(name, func(t *testing.T) {
			spec := map[string]any{"size": int64(1)}
			tenantNamespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "ns"}}
			tenantSide := customSide(t, withStatus, tenantNamespace, widget("shop", "new", map[string]any{"spec": spec}))
			status := map[string]any{"phase": "Ready"}
			superSide := customSide(t, true, superWidget("new", map[string]any{"spec": spec, "status": status})...)
			key := types.NamespacedName{Namespace: "shop", Name: "web"}
			if err := reconcileKind(t, widgets(), key, tenantSide, superSide); err != nil {
				t.Fatal(err)
			}
			got := widget("", "", nil)
			if !exists(t, tenantSide.cached, key, got) {
				t.Fatal("the tenant's object is gone")
			}
			if diff := cmp.Diff(status, got.Object["status"]); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
		})
	}
}

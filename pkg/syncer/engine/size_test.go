// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// TestTooLarge: an object that fits into the tenant and not, with the
// platform's keys, into the super cluster is refused by the part to shorten.
func TestTooLarge(t *testing.T) {
	configMaps := schema.GroupKind{Kind: "ConfigMap"}
	cases := map[string]struct {
		err   error
		field string // empty: it is none of this
	}{
		"the API server's limit": {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), "data"},
		"etcd's limit":           {apierrors.NewInternalError(errors.New("etcdserver: request is too large")), "data"},
		"gRPC's limit":           {apierrors.NewInternalError(errors.New("rpc error: code = ResourceExhausted desc = trying to send message larger than max (2097173 vs. 2097152)")), "data"},
		"all annotations together": {apierrors.NewInvalid(configMaps, "a", field.ErrorList{
			field.TooLong(field.NewPath("metadata", "annotations"), "", 262144),
		}), "metadata.annotations"},
		"another field": {apierrors.NewInvalid(configMaps, "a", field.ErrorList{field.TooLong(field.NewPath("metadata", "labels"), "", 63)}), ""},
		"another error": {errors.New("broken"), ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			configMap := kind.Downward[*corev1.ConfigMap]{
				Object: &corev1.ConfigMap{}, Down: func(context.Context, kind.Env, *corev1.ConfigMap, *corev1.ConfigMap) error { return nil },
			}
			inTenant := newSide(tenantObjects("new")[0], &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "large", UID: "u"}, Data: map[string]string{"a": strings.Repeat("x", 2000)},
			})
			inSuper := newSide(superObjects("new")[0])
			inSuper.intercept(interceptor.Funcs{Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error { return tc.err }})
			err := reconcileKind(t, configMap.Translator(), types.NamespacedName{Namespace: "shop", Name: "large"}, inTenant, inSuper)
			reject := kind.AsReject(err)
			if (reject == nil) != (tc.field == "") || reject != nil && reject.Field != tc.field || err == nil {
				t.Errorf("error %v, want one about %q", err, tc.field)
			}
		})
	}
}

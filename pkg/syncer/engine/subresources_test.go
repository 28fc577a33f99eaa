// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// inParts is a kind whose host name and node name have a path each.
func inParts() *kind.Translator {
	k := process()
	k.Down = func(_ context.Context, _ kind.Env, _, super *corev1.Pod) error {
		super.Spec.Hostname, super.Spec.NodeName, super.Spec.Subdomain = "h", "node", "s"
		return nil
	}
	k.Attach = nil
	k.Subresources = []kind.Subresource[*corev1.Pod]{
		{Name: "hostname", Copy: func(from, to *corev1.Pod) { to.Spec.Hostname = from.Spec.Hostname }},
		{Name: "node", Copy: func(from, to *corev1.Pod) { to.Spec.NodeName = from.Spec.NodeName }},
	}
	return k.Translator()
}

// TestPartsHavePathsOfTheirOwn: each patch carries its part, the version that
// the last one left, and nothing of the others; one that is refused does not
// hold them up.
func TestPartsHavePathsOfTheirOwn(t *testing.T) {
	refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web", nil)
	cases := map[string]struct {
		refused string
		want    map[string]map[string]any
	}{
		"all": {"", map[string]map[string]any{
			"hostname": {"hostname": "h"}, "node": {"nodeName": "node"}, "": {"subdomain": "s"},
		}},
		"one is refused": {"hostname", map[string]map[string]any{
			"hostname": {"hostname": "h"}, "node": {"nodeName": "node"}, "": {"subdomain": "s"},
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			superSide := newSide(superObjects("new")...)
			got := map[string]map[string]any{}
			versions := map[string]bool{}
			record := func(path string, object client.Object, patch client.Patch) {
				data, err := patch.Data(object)
				if err != nil {
					t.Fatal(err)
				}
				var sent struct {
					Metadata struct{ ResourceVersion string }
					Spec     map[string]any
				}
				if err := json.Unmarshal(data, &sent); err != nil {
					t.Fatal(err)
				}
				got[path] = sent.Spec
				if sent.Metadata.ResourceVersion == "" || versions[sent.Metadata.ResourceVersion] {
					t.Errorf("%q is sent with version %q", path, sent.Metadata.ResourceVersion)
				}
				versions[sent.Metadata.ResourceVersion] = path != tc.refused || path == ""
			}
			superSide.intercept(interceptor.Funcs{
				Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
					record("", o, p)
					return c.Patch(ctx, o, p, opts...)
				},
				SubResourcePatch: func(ctx context.Context, c client.Client, path string, o client.Object, p client.Patch, _ ...client.SubResourcePatchOption) error {
					record(path, o, p)
					if path == tc.refused {
						return refusal
					}
					return c.Patch(ctx, o, p)
				},
			})
			key := types.NamespacedName{Namespace: "shop", Name: "web"}
			err := reconcileKind(t, inParts(), key, newSide(tenantObjects("new")...), superSide)
			if apierrors.IsForbidden(err) != (tc.refused != "") {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("patches (-want +got):\n%s", diff)
			}
			var super corev1.Pod
			exists(t, superSide.live, types.NamespacedName{Namespace: superNamespaceName(), Name: "web"}, &super)
			if super.Spec.Subdomain != "s" || super.Spec.NodeName != "node" || (super.Spec.Hostname == "h") != (tc.refused == "") {
				t.Errorf("spec %+v", super.Spec)
			}
		})
	}
}

// TestHold: the tenant's object says why it has no super object.
func TestHold(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want corev1.PodPhase
	}{
		"no place": {kind.Unplaced("no place"), "no place"},
		"refused":  {kind.Reject("spec.x", "remove it"), "spec.x: remove it"},
		"waiting":  {kind.Wait("something"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := process()
			k.Down = func(context.Context, kind.Env, *corev1.Pod, *corev1.Pod) error { return tc.err }
			k.Hold = func(tenant *corev1.Pod, err error) { tenant.Status.Phase = corev1.PodPhase(err.Error()) }
			tenantSide, superSide := newSide(tenantObjects("new")...), newSide(superObjects("new")[0])
			key := types.NamespacedName{Namespace: "shop", Name: "web"}
			if err := reconcileKind(t, k.Translator(), key, tenantSide, superSide); err == nil {
				t.Fatal("no error")
			}
			var tenantPod corev1.Pod
			exists(t, tenantSide.live, key, &tenantPod)
			if tenantPod.Status.Phase != tc.want {
				t.Errorf("phase %q, want %q", tenantPod.Status.Phase, tc.want)
			}
		})
	}
}

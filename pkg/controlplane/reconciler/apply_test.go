// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// TestGetOwned: a virtual cluster that is created again under the same name may
// meet, in a cache that is late, the Secret of its forerunner.
func TestGetOwned(t *testing.T) {
	secret := func(tenant types.UID) *corev1.Secret {
		return component.Spec{TenantID: tenant, VirtualCluster: types.NamespacedName{Namespace: "team", Name: "demo"}}.UserKubeconfig(nil)
	}
	cases := map[string]struct {
		cached, live *corev1.Secret
		wantFound    bool
		wantErr      string
	}{
		"nothing":                     {nil, nil, false, ""},
		"in the cache":                {secret("new"), secret("new"), true, ""},
		"not in the cache yet":        {nil, secret("new"), true, ""},
		"the forerunner's, gone":      {secret("old"), nil, false, ""},
		"the forerunner's, and new":   {secret("old"), secret("new"), true, ""},
		"the forerunner's, and there": {secret("old"), secret("old"), false, "was not made for this virtual cluster"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			reader := func(object *corev1.Secret) client.Reader {
				builder := fake.NewClientBuilder().WithScheme(clientgoscheme.Scheme)
				if object != nil {
					builder = builder.WithObjects(object)
				}
				return builder.Build()
			}
			live := &corev1.Secret{}
			found, err := getOwned(t.Context(), reader(tc.cached), reader(tc.live), secret("new"), live)
			if found != tc.wantFound || (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("getOwned = %v, %v; want %v, %q", found, err, tc.wantFound, tc.wantErr)
			}
			if err == nil && found == (live.Name == "") || found && !sameOwner(live, secret("new")) {
				t.Errorf("found %v, and got the Secret of %v", found, live.Labels)
			}
		})
	}
}

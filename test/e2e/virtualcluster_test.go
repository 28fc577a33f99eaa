// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// TestIllegalVirtualClusters are refused at admission with the field and the remedy.
func TestIllegalVirtualClusters(t *testing.T) {
	tests := map[string]struct {
		name, version, want string
	}{
		"name too long":    {strings.Repeat("x", 41), "", "at most 40 characters"},
		"name with a dot":  {"a.b", "", "metadata.name must be a DNS label"},
		"name is a number": {"1a", "", "starts with a letter"},
		"not a version":    {"fine", "latest", "spec.version"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			object := newVirtualCluster(tc.name)
			object.Spec.Version = tc.version
			err := superClient.Create(t.Context(), object)
			if err == nil {
				deleteTenant(t, tc.name)
			}
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the answer is %v, want Invalid with %q", err, tc.want)
			}
		})
	}
}

// TestImpossibleVirtualClusters say what is missing, and go on when it is there.
func TestImpossibleVirtualClusters(t *testing.T) {
	t.Run("unknown class", func(t *testing.T) {
		object := newVirtualCluster("classless")
		object.Spec.ClassName = "gold"
		t.Cleanup(func() { deleteTenant(t, object.Name) })
		if err := superClient.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		waitNotReady(t, object, tenancyv1alpha1.ReasonClassNotFound, `"gold"`)

		class := &tenancyv1alpha1.VirtualClusterClass{}
		if err := superClient.Get(t.Context(), client.ObjectKey{Name: "default"}, class); err != nil {
			t.Fatal(err)
		}
		gold := &tenancyv1alpha1.VirtualClusterClass{ObjectMeta: metav1.ObjectMeta{Name: "gold"}, Spec: class.Spec}
		t.Cleanup(func() {
			if err := superClient.Delete(context.WithoutCancel(t.Context()), gold); err != nil {
				t.Error(err)
			}
		})
		if err := superClient.Create(t.Context(), gold); err != nil {
			t.Fatal(err)
		}
		must(t, "kubectl", "--kubeconfig", superKubeconfig, "wait", "--for=condition=Ready", "vc/classless", "--timeout=90s")
	})
	t.Run("version not on offer", func(t *testing.T) {
		object := newVirtualCluster("versionless")
		object.Spec.Version = "v1.20.0"
		t.Cleanup(func() { deleteTenant(t, object.Name) })
		if err := superClient.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
		waitNotReady(t, object, tenancyv1alpha1.ReasonVersionNotOffered, "v1.37.1")
	})
}

func newVirtualCluster(name string) *tenancyv1alpha1.VirtualCluster {
	return &tenancyv1alpha1.VirtualCluster{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name}}
}

// waitNotReady waits for Ready=False with a reason and a message that has a part.
func waitNotReady(t *testing.T, object *tenancyv1alpha1.VirtualCluster, reason, part string) {
	t.Helper()
	eventually(t, 10*time.Second, "Ready=False, "+reason, func(ctx context.Context) error {
		if err := superClient.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		ready := condition(object, tenancyv1alpha1.ConditionReady)
		if ready.Status != metav1.ConditionFalse || ready.Reason != reason || !strings.Contains(ready.Message, part) {
			return fmt.Errorf("%s %s: %s", ready.Status, ready.Reason, ready.Message)
		}
		return nil
	})
}

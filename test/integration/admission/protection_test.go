// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart/common"
	release "helm.sh/helm/v4/pkg/release/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/charts"
)

// testDeletionProtection applies the chart's policy: who has asked to be
// protected is, until that is taken back, and nobody else.
func testDeletionProtection(t *testing.T, superClient client.Client, config *rest.Config) {
	for _, object := range policies(t) {
		if err := superClient.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
	create := func(name string, protected bool) *tenancyv1alpha1.VirtualCluster {
		virtualCluster := &tenancyv1alpha1.VirtualCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
			Spec:       tenancyv1alpha1.VirtualClusterSpec{DeletionProtection: protected},
		}
		if err := superClient.Create(t.Context(), virtualCluster); err != nil {
			t.Fatal(err)
		}
		return virtualCluster
	}
	protected := create("protected", true)
	// A policy is in force a moment after it was made.
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := superClient.Delete(ctx, protected, client.DryRunAll)
		return apierrors.IsForbidden(err), nil
	})
	if err != nil {
		t.Fatalf("the policy does not come into force: %v", err)
	}
	err = superClient.Delete(t.Context(), protected)
	if !apierrors.IsForbidden(err) || !strings.Contains(fmt.Sprint(err), "everything in default/protected would be lost; set it to false first") {
		t.Errorf("deleting one that is protected: %v", err)
	}
	err = superClient.DeleteAllOf(t.Context(), &tenancyv1alpha1.VirtualCluster{}, client.InNamespace("default"))
	if !apierrors.IsForbidden(err) {
		t.Errorf("deleting all: %v", err)
	}
	// Whoever deletes a namespace has the controller delete what is in it.
	if err := namespaceController(t, superClient, config).Delete(t.Context(), protected); !apierrors.IsForbidden(err) {
		t.Errorf("the namespace controller deleting one that is protected: %v", err)
	}
	if err := client.IgnoreNotFound(superClient.Delete(t.Context(), create("free", false))); err != nil {
		t.Errorf("deleting one that is not protected: %v", err)
	}
	// What the refusal says to do, to the letter: false, and not absent.
	taken := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"deletionProtection":false}}`))
	if err := superClient.Patch(t.Context(), protected, taken); err != nil {
		t.Fatal(err)
	}
	if err := superClient.Delete(t.Context(), protected); err != nil {
		t.Errorf("deleting one that is protected no more: %v", err)
	}
}

// namespaceController returns a client that is the controller in whose name a
// namespace is emptied.
func namespaceController(t *testing.T, superClient client.Client, config *rest.Config) client.Client {
	t.Helper()
	impersonating := rest.CopyConfig(config)
	impersonating.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:kube-system:namespace-controller",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"},
	}
	controller, err := client.New(impersonating, client.Options{Scheme: superClient.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return controller
}

// policies returns the chart's admission policies as Helm would apply them.
func policies(t *testing.T) []client.Object {
	t.Helper()
	chart, err := charts.Load()
	if err != nil {
		t.Fatal(err)
	}
	install := action.NewInstall(action.NewConfiguration())
	install.DryRunStrategy = action.DryRunClient
	install.ReleaseName, install.Namespace = charts.ReleaseName, charts.Namespace
	install.KubeVersion = &common.KubeVersion{Version: "v1.37.1", Major: "1", Minor: "37"}
	rendered, err := install.Run(chart, map[string]any{})
	if err != nil {
		t.Fatal(err)
	}
	result, ok := rendered.(*release.Release)
	if !ok {
		t.Fatalf("rendering returned a %T", rendered)
	}
	var objects []client.Object
	for document := range strings.SplitSeq(result.Manifest, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(object.GetKind(), "ValidatingAdmissionPolicy") {
			objects = append(objects, object)
		}
	}
	if len(objects) != 2 {
		t.Fatalf("got %d objects, want a policy and its binding", len(objects))
	}
	return objects
}

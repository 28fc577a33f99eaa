// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/controlplane/component"
)

// objectsOf returns everything labelled with the tenant, and everything else
// in its control plane's namespace, as Kind/name.
func (s *suite) objectsOf(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) []string {
	t.Helper()
	lists := map[string]client.ObjectList{
		"Namespace": &corev1.NamespaceList{}, "Secret": &corev1.SecretList{}, "Service": &corev1.ServiceList{},
		"StatefulSet": &appsv1.StatefulSetList{}, "ConfigMap": &corev1.ConfigMapList{},
		"NetworkPolicy": &networkingv1.NetworkPolicyList{}, "PodDisruptionBudget": &policyv1.PodDisruptionBudgetList{},
	}
	namespace := controlPlaneNamespace(virtualCluster)
	seen := map[string]bool{}
	labelled := client.MatchingLabels{tenancyv1alpha1.LabelTenantID: string(virtualCluster.UID)}
	for kind, list := range lists {
		options := []client.ListOption{labelled}
		if kind != "Namespace" {
			options = append(options, client.InNamespace(namespace))
		}
		for _, option := range options {
			if err := s.client.List(t.Context(), list, option); err != nil {
				t.Fatal(err)
			}
			for _, name := range namesOf(t, list) {
				seen[kind+"/"+strings.Replace(name, namespace, "<namespace>", 1)] = true
			}
		}
	}
	var out []string
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// expectedObjects is what vc-manager makes. The super cluster's own
// kube-root-ca.crt is in every namespace.
func expectedObjects(name string) []string {
	out := []string{
		"ConfigMap/control-plane-membership",
		"ConfigMap/kube-root-ca.crt",
		"Namespace/<namespace>",
		"Secret/" + component.SecretAuthorities,
		"Secret/" + component.SecretEncryption,
		"Secret/" + component.SecretPKI,
		"Secret/" + name + "-kubeconfig",
		"Secret/syncer-kubeconfig",
		"Secret/vn-agent-kubeconfig",
		"NetworkPolicy/control-plane",
		"Service/control-plane",
		"Service/control-plane-peers",
		"StatefulSet/control-plane",
	}
	slices.Sort(out)
	return out
}

func (s *suite) wantObjects(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	eventually(t, "exactly the expected objects exist", func(context.Context) error {
		if diff := cmp.Diff(expectedObjects(virtualCluster.Name), s.objectsOf(t, virtualCluster)); diff != "" {
			return fmt.Errorf("objects (-want +got):\n%s", diff)
		}
		return nil
	})
}

func testObjects(t *testing.T, s *suite) {
	virtualCluster := s.virtualCluster(t, "objects", "default")
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	s.wantObjects(t, virtualCluster)
	live := s.get(t, virtualCluster)
	if !slices.Contains(live.Finalizers, tenancyv1alpha1.FinalizerManager) {
		t.Errorf("finalizers = %v", live.Finalizers)
	}
	if live.Status.Network == nil || live.Status.ControlPlane == nil || !strings.HasPrefix(live.Status.ControlPlane.Endpoint, "https://10.96.") {
		t.Errorf("status = %+v", live.Status)
	}
	if err := s.wantCondition(t.Context(), live, tenancyv1alpha1.ConditionCertificatesReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Error(err)
	}
	if err := s.wantCondition(t.Context(), live, tenancyv1alpha1.ConditionReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonProvisioning); err != nil {
		t.Error(err)
	}
	// The StatefulSet controller made the pod, so it meets Pod Security level "restricted".
	s.runPod(t, virtualCluster, "10.244.7.7")
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	live = s.get(t, virtualCluster)
	if diff := cmp.Diff([]string{"10.244.7.7"}, live.Status.ControlPlane.Addresses); diff != "" {
		t.Errorf("status.controlPlane.addresses: %s", diff)
	}
	if live.Status.Version != testVersion {
		t.Errorf("status.version = %q, want %q", live.Status.Version, testVersion)
	}
	if err := s.wantCondition(t.Context(), live, tenancyv1alpha1.ConditionReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonWaiting); err != nil {
		t.Error(err)
	}
	s.reportOthers(t, virtualCluster, tenancyv1alpha1.ConditionSyncerReady, tenancyv1alpha1.ConditionNodeReady)
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	if err := s.wantCondition(t.Context(), live, tenancyv1alpha1.ConditionReady, metav1.ConditionTrue, tenancyv1alpha1.ReasonReady); err != nil {
		t.Error(err)
	}
}

func testSecondReconcileWritesNothing(t *testing.T, s *suite) {
	virtualCluster := s.virtualCluster(t, "settled", "default")
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	s.runPod(t, virtualCluster, "10.244.7.8")
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	s.wantNoWrites(t, virtualCluster)
}

func (s *suite) wantNoWrites(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) {
	t.Helper()
	written := 0
	counting := s.writes(func() error { written++; return nil }, func() error { return nil })
	for range 3 {
		mustReconcile(t, s.reconciler(counting), virtualCluster)
	}
	if written != 0 {
		t.Errorf("a settled virtual cluster was written to %d times", written)
	}
}

func testDriftIsRepaired(t *testing.T, s *suite) {
	virtualCluster := s.virtualCluster(t, "drift", "default")
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	key := types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: "control-plane"}
	statefulSet := &appsv1.StatefulSet{}
	if err := s.client.Get(t.Context(), key, statefulSet); err != nil {
		t.Fatal(err)
	}
	before := statefulSet.DeepCopy()
	statefulSet.Spec.Template.Spec.Containers[0].Image = "example.test/other"
	if err := s.client.Patch(t.Context(), statefulSet, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	authorities := s.authorities(t, virtualCluster)
	pki := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: component.SecretPKI}}
	if err := s.client.Delete(t.Context(), pki); err != nil {
		t.Fatal(err)
	}
	mustReconcile(t, s.reconciler(nil), virtualCluster)
	s.wantObjects(t, virtualCluster)
	if err := s.client.Get(t.Context(), key, statefulSet); err != nil {
		t.Fatal(err)
	}
	if got := statefulSet.Spec.Template.Spec.Containers[0].Image; got == "example.test/other" {
		t.Errorf("image = %q: it was not put right", got)
	}
	if diff := cmp.Diff(authorities.Data, s.authorities(t, virtualCluster).Data); diff != "" {
		t.Errorf("the authorities changed")
	}
}

func (s *suite) authorities(t *testing.T, virtualCluster *tenancyv1alpha1.VirtualCluster) *corev1.Secret {
	t.Helper()
	secret := &corev1.Secret{}
	key := types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: component.SecretAuthorities}
	if err := s.client.Get(t.Context(), key, secret); err != nil {
		t.Fatal(err)
	}
	return secret
}

var errCrash = errors.New("the process is dead")

// crashAt returns the hooks of a process that dies before or after its n-th write.
func crashAt(n int, afterwards bool) (before, after func() error, crashed func() bool) {
	written, dead := 0, false
	before = func() error {
		written++
		if dead || (written == n && !afterwards) {
			dead = true
			return errCrash
		}
		return nil
	}
	after = func() error {
		if written == n && afterwards {
			dead = true
			return errCrash
		}
		return nil
	}
	return before, after, func() bool { return dead }
}

// testCrashPoints stops a reconcile before and after every write it makes; the
// next process must come to the same end, with the authorities and the
// service range that were made first.
func testCrashPoints(t *testing.T, s *suite) {
	for n := 1; ; n++ {
		survived := false
		for _, afterwards := range []bool{false, true} {
			virtualCluster := s.virtualCluster(t, fmt.Sprintf("crash-%d-%t", n, afterwards), "default")
			before, after, crashed := crashAt(n, afterwards)
			err := reconcileOnce(t, s.reconciler(s.writes(before, after)), virtualCluster)
			if !crashed() {
				survived = true
				break
			}
			if err == nil {
				t.Errorf("write %d (afterwards %t): the error was lost", n, afterwards)
			}
			early := &corev1.Secret{}
			key := types.NamespacedName{Namespace: controlPlaneNamespace(virtualCluster), Name: component.SecretAuthorities}
			made := s.client.Get(t.Context(), key, early) == nil
			network := s.get(t, virtualCluster).Status.Network

			mustReconcile(t, s.reconciler(nil), virtualCluster)
			mustReconcile(t, s.reconciler(nil), virtualCluster)
			s.wantObjects(t, virtualCluster)
			if made && early.UID != s.authorities(t, virtualCluster).UID {
				t.Errorf("write %d (afterwards %t): the authorities were made twice", n, afterwards)
			}
			if diff := cmp.Diff(network, s.get(t, virtualCluster).Status.Network); network != nil && diff != "" {
				t.Errorf("write %d (afterwards %t): the service range changed: %s", n, afterwards, diff)
			}
		}
		if survived {
			if n < 10 {
				t.Errorf("only %d writes were seen: the interception misses some", n-1)
			}
			t.Logf("a reconcile makes %d writes", n-1)
			return
		}
	}
}

func testForeignObjects(t *testing.T, s *suite) {
	cases := map[string]func(virtualCluster *tenancyv1alpha1.VirtualCluster) client.Object{
		"kubeconfig Secret of somebody": func(virtualCluster *tenancyv1alpha1.VirtualCluster) client.Object {
			return &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: userNamespace, Name: virtualCluster.Name + "-kubeconfig"},
				StringData: map[string]string{"value": "mine"},
			}
		},
		"namespace of somebody": func(virtualCluster *tenancyv1alpha1.VirtualCluster) client.Object {
			return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: controlPlaneNamespace(virtualCluster)}}
		},
		"kubeconfig Secret of another tenant": func(virtualCluster *tenancyv1alpha1.VirtualCluster) client.Object {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				Namespace: userNamespace, Name: virtualCluster.Name + "-kubeconfig",
				Labels: map[string]string{
					tenancyv1alpha1.LabelTenantID: "another", tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager,
				},
			}}
		},
	}
	number := 0
	for name, foreign := range cases {
		number++
		virtualCluster := s.virtualCluster(t, fmt.Sprintf("foreign-%d", number), "default")
		t.Run(name, func(t *testing.T) {
			object := foreign(virtualCluster)
			s.create(t, object)
			version := object.GetResourceVersion()
			err := reconcileOnce(t, s.reconciler(nil), virtualCluster)
			if err == nil || !strings.Contains(err.Error(), "was not made for this virtual cluster") {
				t.Errorf("Reconcile: %v", err)
			}
			if err := s.wantCondition(t.Context(), virtualCluster, tenancyv1alpha1.ConditionReady, metav1.ConditionFalse, tenancyv1alpha1.ReasonError); err != nil {
				t.Error(err)
			}
			if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
				t.Fatal(err)
			}
			if _, isNamespace := object.(*corev1.Namespace); !isNamespace && object.GetResourceVersion() != version {
				t.Errorf("the object of somebody else was written to")
			}
			if object.GetLabels()[tenancyv1alpha1.LabelTenantID] == string(virtualCluster.UID) {
				t.Errorf("the object of somebody else was taken over")
			}
		})
	}
}

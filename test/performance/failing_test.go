// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package performance

import (
	"context"
	"fmt"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// calmRate is that of the tenants which are watched while another has trouble,
// in pods a second.
const calmRate, calmPods = 20, 200

// deniedLabel is what the super cluster's admission refuses.
const deniedLabel = "bench.example/denied"

// failing measures two tenants, and then again while 1,000 pods of a third are
// refused by the super cluster again and again.
func failing(b *testing.B, w *world, name string) int {
	const poisoned = 1000
	w.deny(b)
	calm := w.inTenants(b, w.tenants[1:], nil)
	without := calm.steady(b, calmRate, calmPods)
	bad := w.inTenants(b, w.tenants[:1], func(pod *corev1.Pod) {
		if pod.Name != "warm" {
			pod.Labels[deniedLabel] = "x"
		}
	})
	ctx, cancel := context.WithTimeout(b.Context(), settle)
	defer cancel()
	must(b, bad[0].createAll(ctx, poisoned))
	calm = w.inTenants(b, w.tenants[1:], nil)
	beside := calm.steady(b, calmRate, calmPods)
	bad.clear(b)
	latencies(name, "create to Running of the two others, without and beside", without.running, beside.running)
	return 0
}

// deny makes the super cluster's admission refuse pods with deniedLabel, and
// waits until it does.
func (w *world) deny(b *testing.B) {
	b.Helper()
	meta := metav1.ObjectMeta{Name: "denied"}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			},
		}}},
		Validations: []admissionv1.Validation{{
			Expression: fmt.Sprintf("!has(object.metadata.labels) || !(%q in object.metadata.labels)", deniedLabel),
		}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	for _, object := range []client.Object{policy, binding} {
		must(b, w.superClient.Create(b.Context(), object))
		b.Cleanup(func() { must(b, w.superClient.Delete(context.WithoutCancel(b.Context()), object)) })
	}
	probe := newPod("default", "denied")
	probe.Labels[deniedLabel] = "x"
	until(b, "the policy is in force", func(ctx context.Context) error {
		if w.superClient.Create(ctx, probe.DeepCopy(), client.DryRunAll) == nil {
			return fmt.Errorf("a denied pod is let through")
		}
		return nil
	})
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package syncer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// breakWebhook has the pods of a super namespace validated by a webhook that
// nobody serves and without which nothing goes, and waits until it is asked. It
// returns what takes the webhook's configuration away.
func (w *faultWorld) breakWebhook(t *testing.T, namespace string) (end func()) {
	t.Helper()
	url, seconds := "https://"+freeAddress(t)+"/validate", int32(1)
	fail, none := admissionv1.Fail, admissionv1.SideEffectClassNone
	hook := &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "down"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "down.example.com", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, TimeoutSeconds: &seconds,
			FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
		}},
	}
	must(t, w.superClient.Create(t.Context(), hook))
	within(t, settle, "the webhook asked", func(ctx context.Context) error {
		return refusesWith(w.superClient.Create(ctx, makePod(namespace, "probe"), client.DryRunAll), "failed calling webhook")
	})
	return func() { must(t, w.superClient.Delete(t.Context(), hook)) }
}

// enforceRestricted sets the Pod Security level of a super namespace above what
// the syncer wants, which a policy keeps it from taking back. It returns what
// ends the policy: the syncer sees to the rest.
func (w *faultWorld) enforceRestricted(t *testing.T, namespace string) (end func()) {
	t.Helper()
	const level, message = "pod-security.kubernetes.io/enforce", "nobody lowers the level"
	meta := metav1.ObjectMeta{Name: "keep-level"}
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"namespaces"}},
			},
		}}},
		Validations: []admissionv1.Validation{{
			Expression: fmt.Sprintf(`!has(oldObject.metadata.labels) || !(%[1]q in oldObject.metadata.labels) || oldObject.metadata.labels[%[1]q] != "restricted" ||
				(%[1]q in object.metadata.labels && object.metadata.labels[%[1]q] == "restricted")`, level),
			Message: message,
		}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}
	must(t, w.superClient.Create(t.Context(), policy))
	must(t, w.superClient.Create(t.Context(), binding))
	superNamespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	set := func(ctx context.Context, to string, options ...client.PatchOption) error {
		return w.superClient.Patch(ctx, superNamespace.DeepCopy(), mergePatch(fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, level, to)), options...)
	}
	within(t, settle, "the level kept", func(ctx context.Context) error {
		// Until the policy is in force the syncer takes the level back at once.
		return errors.Join(set(ctx, "restricted"), refusesWith(set(ctx, "baseline", client.DryRunAll), message),
			refusesWith(w.superClient.Create(ctx, makePod(namespace, "probe"), client.DryRunAll), "violates PodSecurity"))
	})
	return func() {
		must(t, w.superClient.Delete(t.Context(), binding))
		must(t, w.superClient.Delete(t.Context(), policy))
	}
}

// refusesWith reports an answer that does not say this.
func refusesWith(err error, message string) error {
	if err == nil || !strings.Contains(err.Error(), message) {
		return errors.Join(errStill, err)
	}
	return nil
}

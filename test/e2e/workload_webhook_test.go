// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/controlplane/pki"
)

// testWebhook lets pods of the tenant decide what the tenant's API server takes:
// one webhook changes ConfigMaps, another denies some of them.
func testWebhook(t *testing.T, w *workload) {
	authority, err := pki.NewAuthority("webhook", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := authority.Issue(pki.Leaf{
		CommonName: "gatekeeper", DNSNames: []string{"gatekeeper." + w.namespace + ".svc"},
		Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, TTL: time.Hour,
	}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.client.Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "gatekeeper"}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key},
	}); err != nil {
		t.Fatal(err)
	}
	w.apply(t, "webhook.yaml")
	w.in(t, "rollout", "status", "deployment/gatekeeper", "--timeout=60s")
	registerWebhooks(t, w, authority.CertPEM())

	eventually(t, 20*time.Second, "a ConfigMap that the webhook changed", func(ctx context.Context) error {
		configMap := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, GenerateName: "changed-"},
			Data:       map[string]string{"mutation-start": "yes"},
		}
		if err := w.client.Create(ctx, configMap); err != nil {
			return err
		}
		if configMap.Data["mutation-stage-1"] != "yes" {
			return fmt.Errorf("its data is %v", configMap.Data)
		}
		return nil
	})
	err = w.client.Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "denied"},
		Data:       map[string]string{"webhook-e2e-test": "webhook-disallow"},
	})
	if err == nil || !strings.Contains(err.Error(), "deny.example.com") {
		t.Errorf("a ConfigMap that the webhook denies: %v", err)
	}
}

// registerWebhooks registers both for this namespace, until the test ends.
func registerWebhooks(t *testing.T, w *workload, authority []byte) {
	t.Helper()
	rules := []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
	}}
	here := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}}
	reach := func(path string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{CABundle: authority, Service: &admissionregistrationv1.ServiceReference{
			Namespace: w.namespace, Name: "gatekeeper", Path: &path,
		}}
	}
	none := new(admissionregistrationv1.SideEffectClassNone)
	objects := []client.Object{
		&admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "change"}, Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "change.example.com", ClientConfig: reach("/mutating-configmaps"), Rules: rules, NamespaceSelector: here,
			SideEffects: none, AdmissionReviewVersions: []string{"v1"},
		}}},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "deny"}, Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name: "deny.example.com", ClientConfig: reach("/configmaps"), Rules: rules, NamespaceSelector: here,
			SideEffects: none, AdmissionReviewVersions: []string{"v1"},
		}}},
	}
	for _, object := range objects {
		t.Cleanup(func() {
			if err := w.client.Delete(context.WithoutCancel(t.Context()), object); err != nil {
				t.Error(err)
			}
		})
		if err := w.client.Create(t.Context(), object); err != nil {
			t.Fatal(err)
		}
	}
}

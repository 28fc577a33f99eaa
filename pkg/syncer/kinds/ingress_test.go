// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
	"virtualcluster.io/virtualcluster/pkg/syncer/kindtest"
)

func (samples) Ingress() kindtest.Sample {
	return kindtest.Sample{
		Tenant:      sampleIngress(),
		SuperReader: readerOf(&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: "web"}}),
	}
}

func sampleIngress() *networkingv1.Ingress {
	backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "shop", Port: networkingv1.ServiceBackendPort{Number: 80}}}
	return &networkingv1.Ingress{ObjectMeta: meta("shop", "shop"), Spec: networkingv1.IngressSpec{
		IngressClassName: ptr.To("web"), DefaultBackend: &backend,
		TLS: []networkingv1.IngressTLS{{Hosts: []string{"shop.example.com"}, SecretName: "certificate"}},
		Rules: []networkingv1.IngressRule{{Host: "shop.example.com", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: "/v1.0/a_b~c", PathType: ptr.To(networkingv1.PathTypePrefix), Backend: backend}},
		}}}},
	}}
}

func ingressEnv(warn func(field, remedy string)) kind.Env {
	env := kindtest.Env(nil, warn)
	env.Super = samples{}.Ingress().SuperReader
	return env
}

func TestIngressCrossesWhole(t *testing.T) {
	tenant, super := sampleIngress(), &networkingv1.Ingress{}
	if err := ingress().Down(t.Context(), ingressEnv(nil), tenant, super); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(tenant.Spec, super.Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"certificate"}, ingressSecrets(tenant)); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

func TestRefusedIngresses(t *testing.T) {
	path := func(value string) func(*networkingv1.Ingress) {
		return func(i *networkingv1.Ingress) { i.Spec.Rules[0].HTTP.Paths[0].Path = value }
	}
	const pathField = "spec.rules[0].http.paths[0].path"
	cases := map[string]struct {
		change func(*networkingv1.Ingress)
		field  string
	}{
		"a class that is not shared": {func(i *networkingv1.Ingress) { i.Spec.IngressClassName = ptr.To("platform") }, "spec.ingressClassName"},
		"no class":                   {func(i *networkingv1.Ingress) { i.Spec.IngressClassName = nil }, "spec.ingressClassName"},
		"a resource": {func(i *networkingv1.Ingress) {
			i.Spec.DefaultBackend.Resource = &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "x"}
		}, "spec.defaultBackend.resource"},
		"a path that ends a block": {path("/a;}"), pathField},
		"a path with a line":       {path("/a\nproxy_pass http://x"), pathField},
		"a path with a variable":   {path("/a$b"), pathField},
		"a path with a quote":      {path(`/a"b`), pathField},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tenant := sampleIngress()
			tc.change(tenant)
			err := ingress().Down(t.Context(), ingressEnv(nil), tenant, &networkingv1.Ingress{})
			if reject := kind.AsReject(err); reject == nil || reject.Field != tc.field || reject.Remedy == "" {
				t.Errorf("error %v, want %s refused", err, tc.field)
			}
		})
	}
}

// TestSettingsOfASharedController: code and texts do not reach it.
func TestSettingsOfASharedController(t *testing.T) {
	tenant := sampleIngress()
	tenant.Annotations = map[string]string{
		"nginx.ingress.kubernetes.io/configuration-snippet": "return 200;",
		"nginx.ingress.kubernetes.io/auth-url":              "http://169.254.169.254",
		"nginx.ingress.kubernetes.io/ssl-redirect":          "true",
		"nginx.ingress.kubernetes.io/proxy-body-size":       "8m; return 200",
		"kubernetes.io/ingress.class":                       "platform",
		"example.com/note":                                  "x",
	}
	var warned []string
	super := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{"super-note": "x", "nginx.ingress.kubernetes.io/backend-protocol": "HTTPS"}}}
	if err := ingress().Down(t.Context(), ingressEnv(func(field, _ string) { warned = append(warned, field) }), tenant, super); err != nil {
		t.Fatal(err)
	}
	want := []string{"nginx.ingress.kubernetes.io/ssl-redirect", "super-note"}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(super.Annotations))); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if len(warned) != 3 {
		t.Errorf("warnings about %v, want three", warned)
	}
}

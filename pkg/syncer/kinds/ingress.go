// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// ingress asks a shared controller to serve the tenant's Services. That
// controller has the platform's rights, and reads settings, up to code, from
// annotations and paths: only a few of the one, with plain values, and only
// plain ones of the other cross.
func ingress() kind.Downward[*networkingv1.Ingress] {
	rules := policy.IngressFields()
	plainPath, plainValue := regexp.MustCompile(`^/[A-Za-z0-9/._~%!&()*+,=:@-]*$`), regexp.MustCompile(`^[A-Za-z0-9.]{1,32}$`)
	return kind.Downward[*networkingv1.Ingress]{
		Object:       &networkingv1.Ingress{},
		HideMetadata: true,
		UsesFacts:    true,
		Triggers:     []kind.Trigger{{From: &networkingv1.IngressClass{}}},
		Down: func(ctx context.Context, env kind.Env, tenant, super *networkingv1.Ingress) error {
			spec, err := filter(env, rules, &tenant.Spec)
			if err != nil {
				return err
			}
			if err := checkIngressClass(ctx, env, spec.IngressClassName); err != nil {
				return err
			}
			if err := checkPaths(plainPath, spec.Rules); err != nil {
				return err
			}
			super.Spec = *spec
			for _, key := range plainAnnotations() {
				super.Annotations = showKey(super.Annotations, tenant.Annotations, key)
				if !plainValue.MatchString(super.Annotations[key]) {
					delete(super.Annotations, key)
				}
			}
			warnAnnotations(env, tenant, super)
			return nil
		},
		Up: func(_ context.Context, _ kind.Env, super, tenant *networkingv1.Ingress) error {
			tenant.Status.LoadBalancer = *super.Status.LoadBalancer.DeepCopy()
			return nil
		},
	}
}

// plainAnnotations are the annotations that cross: switches and sizes, none of
// which ends as text in a controller's configuration.
func plainAnnotations() []string {
	return []string{
		"kubernetes.io/ingress.allow-http",
		"nginx.ingress.kubernetes.io/backend-protocol",
		"nginx.ingress.kubernetes.io/force-ssl-redirect",
		"nginx.ingress.kubernetes.io/proxy-body-size",
		"nginx.ingress.kubernetes.io/ssl-redirect",
	}
}

// warnAnnotations tells about settings for a controller that did not cross.
func warnAnnotations(env kind.Env, tenant, super *networkingv1.Ingress) {
	for key := range tenant.Annotations {
		domain, _, _ := strings.Cut(key, "/")
		if _, crossed := super.Annotations[key]; !crossed && strings.Contains(domain, "ingress") {
			env.Warn("metadata.annotations["+key+"]", "the setting does not reach the shared controller; it has no effect")
		}
	}
}

// checkIngressClass refuses an Ingress that no shared controller would serve.
func checkIngressClass(ctx context.Context, env kind.Env, name *string) error {
	const field, remedy = "spec.ingressClassName", "name one of `kubectl get ingressclasses` that the platform manages"
	if name == nil {
		return kind.Reject(field, "there is no default IngressClass; %s", remedy)
	}
	err := env.Super.Get(ctx, types.NamespacedName{Name: *name}, &networkingv1.IngressClass{})
	if apierrors.IsNotFound(err) {
		return kind.Reject(field, "IngressClass %s is not shared with this cluster; %s", *name, remedy)
	}
	if err != nil {
		return fmt.Errorf("reading the super ingress class: %w", err)
	}
	return nil
}

// checkPaths refuses a path that could be more than one.
func checkPaths(plain *regexp.Regexp, rules []networkingv1.IngressRule) error {
	for i, rule := range rules {
		if rule.HTTP == nil {
			continue
		}
		for j, path := range rule.HTTP.Paths {
			if path.Path != "" && !plain.MatchString(path.Path) {
				return kind.Reject(fmt.Sprintf("spec.rules[%d].http.paths[%d].path", i, j), "patterns are not allowed; use a plain path with pathType Prefix or Exact")
			}
		}
	}
	return nil
}

// ingressSecrets returns the Secrets with certificates that an Ingress refers to.
func ingressSecrets(from client.Object) []string {
	tenant, ok := from.(*networkingv1.Ingress)
	if !ok {
		return nil
	}
	var names []string
	for _, tls := range tenant.Spec.TLS {
		if tls.SecretName != "" {
			names = append(names, tls.SecretName)
		}
	}
	return names
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

const gatewayGroup = "gateway.networking.k8s.io"

// gatewayClass shows the classes that are shared, without their parameters, and
// under a controller's name that no controller in the tenant claims.
func gatewayClass() preset {
	return preset{
		rule: tenancyv1alpha1.CustomResourceRule{
			Group: gatewayGroup, Version: "v1", Kind: "GatewayClass", Direction: tenancyv1alpha1.DirectionUp,
			Copy: []tenancyv1alpha1.FieldPath{".spec.description", ".status"},
		},
		fixed:  []fixedField{{path{"spec", "controllerName"}, tenancyv1alpha1.SharedDriver + "/shared"}},
		shared: func(s sharing) *metav1.LabelSelector { return s.GatewayClasses },
	}
}

// gateway lets tenants have Gateways of the shared classes. Routes attach from
// the Gateway's own namespace only: every other choice would let in routes of
// other tenants, whose namespaces carry labels of their own choice.
func gateway() preset {
	return preset{
		rule: tenancyv1alpha1.CustomResourceRule{
			Group: gatewayGroup, Version: "v1", Kind: "Gateway", Direction: tenancyv1alpha1.DirectionDown,
			Copy:   []tenancyv1alpha1.FieldPath{".spec.gatewayClassName", ".spec.listeners", ".spec.addresses"},
			Report: []tenancyv1alpha1.FieldPath{".status"},
			Refuse: []tenancyv1alpha1.CustomResourceRefusal{{
				Rule: "has(object.spec.listeners) && object.spec.listeners.exists(l, has(l.allowedRoutes) && has(l.allowedRoutes.namespaces) && " +
					"(has(l.allowedRoutes.namespaces.selector) || has(l.allowedRoutes.namespaces.from) && !(l.allowedRoutes.namespaces.from in ['Same', 'None'])))",
				Field:   "spec.listeners[].allowedRoutes.namespaces",
				Message: "routes attach from the Gateway's own namespace only; use from: Same",
			}, {
				Rule:    "has(object.spec.listeners) && object.spec.listeners.exists(l, has(l.tls) && has(l.tls.options))",
				Field:   "spec.listeners[].tls.options",
				Message: "options of an implementation are not synced; remove the field",
			}, {
				Rule:    "has(object.spec.addresses) && size(object.spec.addresses) > 0",
				Field:   "spec.addresses",
				Message: "addresses are the platform's to give; remove the field",
			}},
			References: tenancyv1alpha1.CustomResourceReferences{
				Namespaces: []tenancyv1alpha1.FieldPath{".spec.listeners[*].tls.certificateRefs[*].namespace"},
				Unrelated:  []tenancyv1alpha1.FieldPath{".spec.listeners[*].allowedRoutes.namespaces"},
			},
		},
		classes: []classReference{{
			field:  path{"spec", "gatewayClassName"},
			kind:   schema.GroupVersionKind{Group: gatewayGroup, Version: "v1", Kind: "GatewayClass"},
			shared: func(s sharing) *metav1.LabelSelector { return s.GatewayClasses },
		}},
	}
}

// route syncs what all routes have: where they attach, and backends that are
// Services of the tenant.
func route(routeKind string) preset {
	return preset{rule: tenancyv1alpha1.CustomResourceRule{
		Group: gatewayGroup, Version: "v1", Kind: routeKind, Direction: tenancyv1alpha1.DirectionDown,
		Copy:   []tenancyv1alpha1.FieldPath{".spec.parentRefs", ".spec.hostnames", ".spec.rules"},
		Report: []tenancyv1alpha1.FieldPath{".status.parents"},
		Refuse: []tenancyv1alpha1.CustomResourceRefusal{{
			Rule: "has(object.spec.rules) && object.spec.rules.exists(r, has(r.backendRefs) && " +
				"r.backendRefs.exists(b, has(b.kind) && b.kind != 'Service' || has(b.group) && b.group != ''))",
			Field:   "spec.rules[].backendRefs",
			Message: "only Services are synced as backends; name a Service of this cluster",
		}},
		References: tenancyv1alpha1.CustomResourceReferences{Namespaces: []tenancyv1alpha1.FieldPath{
			".spec.parentRefs[*].namespace", ".spec.rules[*].backendRefs[*].namespace", ".status.parents[*].parentRef.namespace",
		}},
	}}
}

// httpRoute adds what HTTPRoutes and GRPCRoutes have: filters that mirror
// requests to a Service, and filters of implementations, which are refused.
func httpRoute(routeKind string) preset {
	p := route(routeKind)
	p.rule.References.Namespaces = append(p.rule.References.Namespaces,
		".spec.rules[*].filters[*].requestMirror.backendRef.namespace",
		".spec.rules[*].backendRefs[*].filters[*].requestMirror.backendRef.namespace")
	p.rule.Refuse = append(p.rule.Refuse, tenancyv1alpha1.CustomResourceRefusal{
		Rule: "has(object.spec.rules) && object.spec.rules.exists(r, " +
			"has(r.filters) && r.filters.exists(f, has(f.extensionRef) || has(f.externalAuth)) || " +
			"has(r.backendRefs) && r.backendRefs.exists(b, has(b.filters) && b.filters.exists(f, has(f.extensionRef) || has(f.externalAuth))))",
		Field:   "spec.rules[].filters",
		Message: "filters of an implementation are not synced; use those of the Gateway API",
	})
	return p
}

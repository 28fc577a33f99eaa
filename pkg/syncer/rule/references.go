// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// references are compiled CustomResourceReferences: patterns, with [*].
type references struct {
	namespaces, unrelated []string
	shared                []string
}

func compileReferences(source tenancyv1alpha1.CustomResourceReferences) (references, error) {
	compiled := references{shared: source.SharedNamespaces}
	for _, list := range []struct {
		from []tenancyv1alpha1.FieldPath
		to   *[]string
	}{{source.Namespaces, &compiled.namespaces}, {source.Unrelated, &compiled.unrelated}} {
		for _, field := range list.from {
			if err := checkPattern(field); err != nil {
				return references{}, fmt.Errorf("references: %w", err)
			}
			*list.to = append(*list.to, string(field))
		}
	}
	return compiled, nil
}

// leads reports whether a field that holds a namespace is below pattern.
func (r references) leads(pattern string) bool {
	return slices.ContainsFunc(r.namespaces, func(listed string) bool {
		rest, below := strings.CutPrefix(listed, pattern)
		return below && rest != "" && (rest[0] == '.' || rest[0] == '[')
	})
}

// walk is a look through a copied value. It changes the value.
type walk struct {
	references
	// namespace maps what a field that holds a namespace says.
	namespace func(field, value string) (string, error)
	// strict refuses fields that may hold a namespace and that the rule does not know.
	strict bool
}

// place is where a walk is: as rules and as tenants write it.
type place struct{ pattern, field string }

func placeOf(p path) place { return place{pattern: "." + p.String(), field: p.String()} }

func (at place) child(name string) place {
	return place{pattern: at.pattern + "." + name, field: at.field + "." + name}
}

func (at place) element(i int) place {
	return place{pattern: at.pattern + anyElement, field: fmt.Sprintf("%s[%d]", at.field, i)}
}

// value looks through a value and returns what should stand in its place.
// suspect says that something above has "namespace" in its name: then what is
// in it must be known, and an empty selector or list may mean "all".
func (w *walk) value(at place, value any, suspect bool) (any, error) {
	if slices.Contains(w.unrelated, at.pattern) {
		return value, nil
	}
	if slices.Contains(w.namespaces, at.pattern) {
		return w.mapped(at, value)
	}
	var err error
	empty := value == nil
	switch typed := value.(type) {
	case map[string]any:
		empty, err = len(typed) == 0 && w.leads(at.pattern), w.fields(at, typed, suspect)
		suspect = suspect && len(typed) == 0
	case []any:
		empty, err = len(typed) == 0 && w.leads(at.pattern), w.elements(at, typed, suspect)
		suspect = suspect && len(typed) == 0
	}
	if err == nil && suspect && !empty {
		err = w.unknown(at)
	}
	return value, err
}

// fields looks through an object.
func (w *walk) fields(at place, fields map[string]any, suspect bool) error {
	for name, child := range fields {
		mapped, err := w.value(at.child(name), child, suspect || mayNameNamespace(name))
		if err != nil {
			return err
		}
		fields[name] = mapped
	}
	return nil
}

// elements looks through a list.
func (w *walk) elements(at place, elements []any, suspect bool) error {
	for i, child := range elements {
		mapped, err := w.value(at.element(i), child, suspect)
		if err != nil {
			return err
		}
		elements[i] = mapped
	}
	return nil
}

// unknown refuses a field that may hold a namespace.
func (w *walk) unknown(at place) error {
	if !w.strict {
		return nil
	}
	return kind.Reject(at.field, "the platform does not know what this says about namespaces, so it is not passed on; remove the field, or ask the platform's team to add it to the rule of this kind")
}

// mapped maps a field that holds a namespace. One that is not set means the object's own.
func (w *walk) mapped(at place, value any) (any, error) {
	if value == nil {
		return nil, nil
	}
	name, ok := value.(string)
	if !ok {
		return nil, kind.Reject(at.field, "a namespace must be a string; write its name")
	}
	if name == "" {
		return name, nil
	}
	return w.namespace(at.field, name)
}

// mayNameNamespace reports field names that speak of namespaces.
func mayNameNamespace(name string) bool {
	return strings.Contains(strings.ToLower(name), "namespace")
}

// down maps the tenant's namespaces to the super cluster's. Whatever a tenant
// writes becomes a namespace of its own; one that it does not have is waited for.
func (r references) down(ctx context.Context, env kind.Env) *walk {
	return &walk{references: r, strict: true, namespace: func(field, value string) (string, error) {
		if slices.Contains(r.shared, value) {
			return value, nil
		}
		err := env.Tenant.Get(ctx, client.ObjectKey{Name: value}, &corev1.Namespace{})
		if apierrors.IsNotFound(err) {
			return "", kind.Wait("namespace %q, which %s names: create it, or name one that exists", value, field)
		}
		if err != nil {
			return "", fmt.Errorf("reading the namespace that %s names: %w", field, err)
		}
		return env.Names.Namespace(value), nil
	}}
}

// up maps the super cluster's namespaces back. What is not the tenant's stays
// unsaid, unless it is shared.
func (r references) up(ctx context.Context, env kind.Env) (*walk, error) {
	var namespaces corev1.NamespaceList
	if len(r.namespaces) > 0 {
		if err := env.Tenant.List(ctx, &namespaces); err != nil {
			return nil, fmt.Errorf("listing the tenant's namespaces: %w", err)
		}
	}
	back := make(map[string]string, len(namespaces.Items)+len(r.shared))
	for i := range namespaces.Items {
		back[env.Names.Namespace(namespaces.Items[i].Name)] = namespaces.Items[i].Name
	}
	for _, shared := range r.shared {
		back[shared] = shared
	}
	return &walk{references: r, namespace: func(_, value string) (string, error) { return back[value], nil }}, nil
}

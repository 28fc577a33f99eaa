// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// Translator returns the kind of the rule. super reads the super cluster's
// cluster-scoped objects that presets refer to.
func (r *Rule) Translator(super client.Reader) *kind.Translator {
	translator := r.upward
	if r.Direction == tenancyv1alpha1.DirectionDown {
		translator = func() *kind.Translator { return r.downward(super) }
	}
	erased := translator()
	erased.Name = r.title()
	return erased
}

func (r *Rule) downward(super client.Reader) *kind.Translator {
	d := downward{Rule: r, super: super}
	k := kind.Downward[*unstructured.Unstructured]{
		Object: r.object(), Select: d.selected, Down: d.down,
		Uses: []client.Object{&corev1.Namespace{}}, UsesFacts: len(r.classes) > 0,
	}
	if len(r.report) > 0 {
		k.Up = d.up
	}
	if len(r.references.namespaces) > 0 {
		k.Triggers = []kind.Trigger{{From: &corev1.Namespace{}}} // what waits for one
	}
	return k.Translator()
}

// object returns an empty object of the rule's kind.
func (r *Rule) object() *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(r.Kind)
	return object
}

// title names the kind in logs and metrics.
func (r *Rule) title() string { return r.Kind.Kind + "." + r.Kind.Group }

// downward is the translation of a rule of direction Down.
type downward struct {
	*Rule
	super client.Reader
}

// selected reports whether an object takes part. One that cannot be judged
// does: down refuses it then, and what is in the super cluster stays.
func (d downward) selected(tenant *unstructured.Unstructured) bool {
	if d.removed {
		return false
	}
	if d.selects == nil {
		return true
	}
	selected, err := d.selects.evalNow(tenant.Object)
	return selected || err != nil
}

func (d downward) down(ctx context.Context, env kind.Env, tenant, super *unstructured.Unstructured) error {
	if err := d.judge(ctx, tenant); err != nil {
		return err
	}
	for _, class := range d.classes {
		if err := class.check(ctx, d.super, env.Facts.Sharing, tenant.Object); err != nil {
			return err
		}
	}
	look := d.references.down(ctx, env)
	for _, field := range d.copy {
		value, found := field.get(tenant.Object)
		if !found {
			field.remove(super.Object)
			continue
		}
		mapped, err := look.value(placeOf(field), d.without(field, value, super.Object), mayNameNamespace(field.String()))
		if err != nil {
			return err
		}
		if err := field.set(super.Object, mapped); err != nil {
			return kind.Reject(field.String(), "the super cluster's object has no such field: %v", err)
		}
	}
	d.warn(env, tenant.Object)
	return nil
}

// judge applies the rule's expressions.
func (d downward) judge(ctx context.Context, tenant *unstructured.Unstructured) error {
	if d.selects != nil {
		if _, err := d.selects.eval(ctx, tenant.Object); err != nil {
			return kind.Reject("spec", "whether this object is synced cannot be told: %v; give it the fields that are missing", err)
		}
	}
	for _, r := range d.refusals {
		refused, err := r.expression.eval(ctx, tenant.Object)
		if err != nil {
			return kind.Reject(r.Field, "%s (it could not be judged: %v)", r.Message, err)
		}
		if refused {
			return kind.Reject(r.Field, "%s", r.Message)
		}
	}
	return nil
}

// without returns a copy of a value in which the fields that are the super
// cluster's to fill in stand as they do there.
func (d downward) without(copied path, value any, super map[string]any) any {
	value = runtime.DeepCopyJSONValue(value)
	content, ok := value.(map[string]any)
	if !ok {
		return value
	}
	for _, reported := range d.report {
		if !reported.isWithin(copied) {
			continue
		}
		below := reported[len(copied):]
		below.remove(content)
		if held, found := reported.get(super); found {
			_ = below.set(content, runtime.DeepCopyJSONValue(held)) // a tenant's list in the way is refused by the super cluster
		}
	}
	return content
}

// up copies what the super cluster reports. What it does not say yet the tenant
// keeps: its own API server may have given it a default.
func (d downward) up(ctx context.Context, env kind.Env, super, tenant *unstructured.Unstructured) error {
	look, err := d.references.up(ctx, env)
	if err != nil {
		return err
	}
	for _, field := range d.report {
		value, found := field.get(super.Object)
		if !found {
			continue
		}
		mapped, err := look.value(placeOf(field), runtime.DeepCopyJSONValue(value), false)
		if err != nil {
			return err
		}
		mapped = rename(mapped, super.GetNamespace(), tenant.GetNamespace())
		if err := field.set(tenant.Object, mapped); err != nil {
			return kind.Reject(field.String(), "what the super cluster reports has no place here: %v", err)
		}
	}
	return nil
}

// rename replaces the super namespace in every text by the tenant's.
func rename(value any, from, to string) any {
	switch typed := value.(type) {
	case string:
		return strings.ReplaceAll(typed, from, to)
	case map[string]any:
		for name, child := range typed {
			typed[name] = rename(child, from, to)
		}
	case []any:
		for i, child := range typed {
			typed[i] = rename(child, from, to)
		}
	}
	return value
}

// check refuses an object that names a class which the platform does not share.
// It reads the super cluster's class: a tenant's copy may be the tenant's own.
func (c classReference) check(ctx context.Context, super client.Reader, sharing sharing, tenant map[string]any) error {
	value, found := c.field.get(tenant)
	if !found {
		return nil
	}
	name, _ := value.(string)
	class := &metav1.PartialObjectMetadata{}
	class.SetGroupVersionKind(c.kind)
	err := super.Get(ctx, client.ObjectKey{Name: name}, class)
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("reading %s %s: %w", c.kind.Kind, name, err)
	}
	if err != nil || !policy.Shares(c.shared(sharing), class.Labels) {
		return kind.Reject(c.field.String(), "the platform shares no %s %q with this cluster; name one that it shares", c.kind.Kind, name)
	}
	return nil
}

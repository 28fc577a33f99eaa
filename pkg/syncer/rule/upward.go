// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// upward returns the kind of a rule of direction Up: a catalogue.
func (r *Rule) upward() *kind.Translator {
	return kind.Upward[*unstructured.Unstructured]{Object: r.object(), Visible: r.visible, Up: r.show}.Translator()
}

// visible reports whether a tenant may see a super object: it is selected, as
// far as the rule selects, and shared, where sharing has a say.
func (r *Rule) visible(facts kind.Facts, super *unstructured.Unstructured) bool {
	if r.removed {
		return false
	}
	if r.shared != nil && !policy.Shares(r.shared(facts.Sharing), super.GetLabels()) {
		return false
	}
	if r.selects == nil {
		return r.shared != nil
	}
	selected, err := r.selects.evalNow(super.Object)
	return selected && err == nil
}

// show copies the rule's fields, and no others.
func (r *Rule) show(_ kind.Env, super *unstructured.Unstructured, _ kind.Subject, tenant *unstructured.Unstructured) error {
	for _, field := range r.copy {
		value, found := field.get(super.Object)
		if !found {
			field.remove(tenant.Object)
			continue
		}
		if err := field.set(tenant.Object, runtime.DeepCopyJSONValue(value)); err != nil {
			return kind.Reject(field.String(), "what the super cluster says has no place here: %v", err)
		}
	}
	for _, same := range r.fixed {
		if err := same.field.set(tenant.Object, same.value); err != nil {
			return kind.Reject(same.field.String(), "what the super cluster says has no place here: %v", err)
		}
	}
	r.annotate(super, tenant)
	return nil
}

// annotate copies the one annotation that has a meaning for tenants.
func (r *Rule) annotate(super, tenant *unstructured.Unstructured) {
	if r.annotation == "" {
		return
	}
	annotations := tenant.GetAnnotations()
	value, found := super.GetAnnotations()[r.annotation]
	if !found {
		delete(annotations, r.annotation)
	} else {
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[r.annotation] = value
	}
	tenant.SetAnnotations(annotations)
}

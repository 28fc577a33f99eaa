// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package drift tells whether an object still is as it was applied: pure
// functions, so that a pass over what is in order writes nothing.
package drift

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// AnnotationHash is on everything that is applied: a digest of what was applied last. Comparing fields (Within) shows what others changed or removed;
// comparing the digest shows what vc-manager itself no longer asks for.
const AnnotationHash = tenancyv1alpha1.LabelPrefix + "applied-hash"

// SetHash notes the digest of desired on it. Call it on a freshly built object.
func SetHash(desired metav1.Object) error {
	content, err := json.Marshal(desired)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", desired.GetName(), err)
	}
	digest := sha256.Sum256(content)
	annotations := desired.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationHash] = hex.EncodeToString(digest[:16])
	desired.SetAnnotations(annotations)
	return nil
}

// Within reports whether everything that desired says is so in live, both in
// the form of decoded JSON. What desired leaves open is the API server's:
// fields that are absent or empty, and further items at the end of a list.
func Within(desired, live any) bool {
	switch desired := desired.(type) {
	case map[string]any:
		present, ok := live.(map[string]any)
		if !ok {
			return len(desired) == 0
		}
		for key, value := range desired {
			if !isEmpty(value) && !Within(value, present[key]) {
				return false
			}
		}
		return true
	case []any:
		present, ok := live.([]any)
		if !ok || len(present) < len(desired) {
			return len(desired) == 0
		}
		for i := range desired {
			if !Within(desired[i], present[i]) {
				return false
			}
		}
		return true
	default:
		return desired == live
	}
}

// isEmpty reports whether a value is what a field without omitempty has when nobody set it.
func isEmpty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == ""
	case map[string]any:
		return len(value) == 0
	case []any:
		return len(value) == 0
	}
	return false
}

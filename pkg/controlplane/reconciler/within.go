// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package reconciler

// within reports whether everything that desired says is so in live, both in
// the form of decoded JSON. What desired leaves open is the API server's:
// fields that are absent or empty, and further items at the end of a list.
func within(desired, live any) bool {
	switch desired := desired.(type) {
	case map[string]any:
		present, ok := live.(map[string]any)
		if !ok {
			return len(desired) == 0
		}
		for key, value := range desired {
			if !isEmpty(value) && !within(value, present[key]) {
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
			if !within(desired[i], present[i]) {
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

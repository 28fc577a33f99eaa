// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package drift

import "testing"

func TestWithin(t *testing.T) {
	type m = map[string]any
	cases := map[string]struct {
		desired, live any
		want          bool
	}{
		"same":                        {m{"a": int64(1)}, m{"a": int64(1)}, true},
		"another value":               {m{"a": int64(1)}, m{"a": int64(2)}, false},
		"missing":                     {m{"a": int64(1)}, m{}, false},
		"missing object":              {m{"a": m{"b": "c"}}, m{}, false},
		"of another type":             {m{"a": m{"b": "c"}}, m{"a": "b"}, false},
		"set by the server":           {m{"a": int64(1)}, m{"a": int64(1), "b": "x"}, true},
		"deep":                        {m{"a": m{"b": []any{m{"c": "d"}}}}, m{"a": m{"b": []any{m{"c": "x"}}}}, false},
		"false is not absent":         {m{"a": false}, m{}, false},
		"false is not true":           {m{"a": false}, m{"a": true}, false},
		"zero is not absent":          {m{"a": int64(0)}, m{"a": int64(1)}, false},
		"empty is absent":             {m{"a": "", "b": m{}, "c": []any{}, "d": nil}, m{}, true},
		"empty leaves what there is":  {m{"a": "", "b": m{}}, m{"a": "x", "b": m{"c": "d"}}, true},
		"item appended by others":     {m{"a": []any{"x"}}, m{"a": []any{"x", "y"}}, true},
		"item removed":                {m{"a": []any{"x", "y"}}, m{"a": []any{"x"}}, false},
		"order":                       {m{"a": []any{"x", "y"}}, m{"a": []any{"y", "x"}}, false},
		"an empty object in the list": {m{"a": []any{m{}}}, m{"a": []any{m{"x": "y"}}}, true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Within(tc.desired, tc.live); got != tc.want {
				t.Errorf("Within = %v, want %v", got, tc.want)
			}
		})
	}
}

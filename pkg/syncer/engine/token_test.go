// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"
)

func TestRenewal(t *testing.T) {
	token := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
	}
	const issued = 1_000_000
	cases := map[string]struct {
		token string
		after time.Duration // zero: it cannot be read
	}{
		"ten minutes": {token(fmt.Sprintf(`{"iat":%d,"exp":%d}`, issued, issued+600)), 8 * time.Minute},
		"an hour":     {token(fmt.Sprintf(`{"iat":%d,"exp":%d}`, issued, issued+3600)), 48 * time.Minute},
		"a year":      {token(fmt.Sprintf(`{"iat":%d,"exp":%d}`, issued, issued+365*86400)), 24 * time.Hour},
		"empty":       {},
		"not a token": {token: "a.b"},
		"bad base64":  {token: "a.!!.c"},
		"no claims":   {token: token(`{}`)},
		"ends before": {token: token(fmt.Sprintf(`{"iat":%d,"exp":%d}`, issued, issued-1))},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			at, ok := renewal([]byte(tc.token))
			if ok != (tc.after != 0) {
				t.Fatalf("readable: %v", ok)
			}
			if ok && at.Sub(time.Unix(issued, 0)) != tc.after {
				t.Errorf("after %s, want %s", at.Sub(time.Unix(issued, 0)), tc.after)
			}
		})
	}
}

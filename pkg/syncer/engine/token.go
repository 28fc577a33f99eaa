// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// renewal reads from a service account token itself when it should be renewed.
// The signature is not checked: the token is our own, and a wrong answer only
// means an early request for another. ok is false for what is no such token.
func renewal(token []byte) (at time.Time, ok bool) {
	parts := strings.Split(string(token), ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		IssuedAt  int64 `json:"iat"`
		ExpiresAt int64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.ExpiresAt <= claims.IssuedAt {
		return time.Time{}, false
	}
	return renewAt(time.Unix(claims.IssuedAt, 0), time.Unix(claims.ExpiresAt, 0)), true
}

// renewAt is after 80 % of a token's life, or after a day if that is earlier,
// as a kubelet does it.
func renewAt(issued, expires time.Time) time.Time {
	const day = 24 * time.Hour
	return issued.Add(min(expires.Sub(issued)*4/5, day))
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package component

import (
	"fmt"
	"math"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// TestUser: it stays the same, is no one else's, and is a user that Linux and
// Kubernetes take.
func TestUser(t *testing.T) {
	seen := map[int64]types.UID{}
	for i := range 1000 {
		s := Spec{TenantID: types.UID(fmt.Sprintf("5e8f2c1a-0000-4000-8000-%012d", i))}
		user := s.user()
		if user != s.user() {
			t.Fatalf("%s has two users", s.TenantID)
		}
		if user < firstUser || user > math.MaxInt32 {
			t.Fatalf("user %d of %s is out of range", user, s.TenantID)
		}
		if other, taken := seen[user]; taken {
			t.Errorf("%s and %s have the same user", s.TenantID, other)
		}
		seen[user] = s.TenantID
	}
}

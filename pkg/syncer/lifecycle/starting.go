// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/fleet"
)

// startGrace is how long a syncer that has just begun to work for a tenant may
// take before it says that it does not yet: a restart that goes well is no
// news, and must not write a condition away and back for each of a thousand
// tenants. What fails is told at once.
const startGrace = 15 * time.Second

// starting remembers since when this process has been getting ready to work
// for a tenant. It is safe for concurrent use.
type starting struct {
	mu    sync.Mutex
	since map[types.NamespacedName]time.Time
}

func newStarting() *starting { return &starting{since: map[types.NamespacedName]time.Time{}} }

// isStarting reports whether the tenant, of which nothing bad is known, is not
// synced because there was no time for it yet.
func (s *starting) isStarting(
	vc *tenancyv1alpha1.VirtualCluster, tenant *fleet.Tenant, trouble error, synced func(id string) bool, now clock.PassiveClock,
) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := client.ObjectKeyFromObject(vc)
	if tenant != nil && synced(tenant.ID) {
		delete(s.since, key)
		return false
	}
	since, known := s.since[key]
	if !known {
		since = now.Now()
		s.since[key] = since
	}
	untried := trouble == nil || errors.Is(trouble, fleet.ErrNotConnected)
	return untried && now.Since(since) < startGrace
}

// forget drops a VirtualCluster that is gone.
func (s *starting) forget(key types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.since, key)
}

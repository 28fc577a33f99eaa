// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package fleet

import "time"

// probeShare is what each tenant adds to the time between two probes of one of
// them, once that is more than the configured interval: a probe costs most of a
// millisecond on each side, and of a thousand tenants nearly all are well.
const probeShare = 40 * time.Millisecond

// untilProbe is the time until the next probe of a tenant that has failed so many
// in a row. One that has failed is looked at as often as configured.
func (f *Fleet) untilProbe(failures int) time.Duration {
	if failures > 0 {
		return f.options.ProbeInterval
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(f.options.ProbeInterval, time.Duration(len(f.members))*probeShare)
}

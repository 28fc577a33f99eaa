// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"virtualcluster.io/virtualcluster/pkg/policy"
	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// checkPodSelector refuses a selector by labels that the tenant's pods do not
// carry in the super cluster: it would select others there than it says.
func checkPodSelector(field string, selector *metav1.LabelSelector) error {
	if selector == nil {
		return nil
	}
	const remedy = "pods do not carry the label %s in the platform's cluster; select by another one"
	for key := range selector.MatchLabels {
		if !policy.MayCross(key) {
			return kind.Reject(field+".matchLabels", remedy, key)
		}
	}
	for _, requirement := range selector.MatchExpressions {
		if !policy.MayCross(requirement.Key) {
			return kind.Reject(field+".matchExpressions", remedy, requirement.Key)
		}
	}
	return nil
}

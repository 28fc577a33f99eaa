// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Shares reports whether a class's selector lets tenants see an object of the
// super cluster with these labels. No selector shares nothing, an empty one
// everything; one that cannot be read shares nothing.
func Shares(selector *metav1.LabelSelector, objectLabels map[string]string) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && parsed.Matches(labels.Set(objectLabels))
}

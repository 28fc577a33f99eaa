// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// isNamespaceLate recognises the errors of a super namespace that is too young
// or too old to hold the object: it is gone or going, or its default service
// account, which the super cluster makes a moment later, is missing.
func isNamespaceLate(err error) bool {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return true
	}
	if apierrors.IsForbidden(err) {
		message := err.Error()
		return strings.Contains(message, "service account") && strings.Contains(message, "not found")
	}
	status, ok := err.(apierrors.APIStatus)
	return ok && apierrors.IsNotFound(err) && status.Status().Details != nil && status.Status().Details.Kind == "namespaces"
}

// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// toTenant says what the error of a write to the tenant means. A namespace that
// is going takes nothing new: what is in it ends as well, so that is no failure.
func toTenant(doing string, err error) error {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return kind.Wait("the end of its namespace")
	}
	return fmt.Errorf("%s: %w", doing, err)
}

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

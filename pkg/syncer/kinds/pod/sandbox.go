// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package pod

import (
	"context"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

// chooseSandbox gives the super pod one of the class's RuntimeClasses.
func chooseSandbox(_ context.Context, b *build) error {
	runtimeClass := b.env.Facts.DefaultRuntimeClass
	if asked := b.tenant.Spec.RuntimeClassName; asked != nil && *asked != "" {
		runtimeClass = *asked
	}
	if !slices.Contains(b.env.Facts.AllowedRuntimeClasses, runtimeClass) {
		return kind.Reject("spec.runtimeClassName", "%s is not offered; use one of %s or leave it empty",
			runtimeClass, strings.Join(b.env.Facts.AllowedRuntimeClasses, ", "))
	}
	b.spec.RuntimeClassName = &runtimeClass
	b.spec.OS = &corev1.PodOS{Name: corev1.Linux}
	return nil
}

// dropServiceAccount keeps every identity of the super cluster out of the pod.
func dropServiceAccount(_ context.Context, b *build) error {
	mount := false
	b.spec.ServiceAccountName, b.spec.DeprecatedServiceAccount = "", ""
	b.spec.AutomountServiceAccountToken = &mount
	return nil
}

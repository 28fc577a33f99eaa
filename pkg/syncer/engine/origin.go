// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

// origin says what a super object was last written from.
type origin struct {
	cluster types.UID
	version string
}

func originOf(super client.Object) origin {
	cluster, version, _ := strings.Cut(super.GetAnnotations()[tenancyv1alpha1.AnnotationTenantOrigin], "/")
	return origin{types.UID(cluster), version}
}

// keepOrigin leaves the origin as it is: it is news only with other news, or
// every change in a tenant would be a write to the super cluster.
func (p *pass) keepOrigin(desired client.Object) {
	if p.super == nil {
		return
	}
	if held := p.super.GetAnnotations()[tenancyv1alpha1.AnnotationTenantOrigin]; held != "" {
		annotate(desired, held)
	}
}

// setOrigin marks what is about to be written.
func (p *pass) setOrigin(desired client.Object) {
	annotate(desired, string(p.tenantCluster.cluster)+"/"+p.tenant.GetResourceVersion())
}

func annotate(object client.Object, value string) {
	annotations := object.GetAnnotations() // Stamp has made the map
	annotations[tenancyv1alpha1.AnnotationTenantOrigin] = value
	object.SetAnnotations(annotations)
}

// newer returns the higher of two resource versions of one database. What is no
// version counts as lower.
func newer(a, b string) string {
	if order, err := resourceversion.CompareResourceVersion(a, b); err == nil && order < 0 {
		return b
	}
	if a == "" {
		return b
	}
	return a
}

// isBehind reports that version a is certainly lower than b.
func isBehind(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	return err == nil && order < 0
}

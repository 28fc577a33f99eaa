// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package rule

import (
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
)

var errPreset = errors.New("there is no such preset")

type sharing = tenancyv1alpha1.ClassSharing

// sharedBy picks the selector of a kind from what a class shares.
type sharedBy func(sharing) *metav1.LabelSelector

// preset is a rule that the platform brings, with what a class cannot express.
type preset struct {
	rule tenancyv1alpha1.CustomResourceRule
	// classes are cluster-scoped objects that the objects name.
	classes []classReference
	// shared says which objects of a kind that goes up tenants see.
	shared sharedBy
	// fixed are fields that every copy of what goes up has alike.
	fixed []fixedField
	// annotation of a super object that its copy carries too.
	annotation string
}

// fixedField is a field of a tenant's copy whose value says nothing about the
// super cluster.
type fixedField struct {
	field path
	value string
}

// classReference is a field that names a cluster-scoped object which the class
// must share.
type classReference struct {
	field  path
	kind   schema.GroupVersionKind
	shared sharedBy
}

// presetOf returns the preset of this name.
func presetOf(name tenancyv1alpha1.CustomResourcePreset) (preset, error) {
	switch name {
	case tenancyv1alpha1.PresetVolumeSnapshot:
		return volumeSnapshot(), nil
	case tenancyv1alpha1.PresetVolumeSnapshotClass:
		return volumeSnapshotClass(), nil
	case tenancyv1alpha1.PresetGatewayClass:
		return gatewayClass(), nil
	case tenancyv1alpha1.PresetGateway:
		return gateway(), nil
	case tenancyv1alpha1.PresetHTTPRoute, tenancyv1alpha1.PresetGRPCRoute:
		return httpRoute(string(name)), nil
	case tenancyv1alpha1.PresetTLSRoute:
		return route(string(name)), nil
	default:
		return preset{}, fmt.Errorf("preset %s: %w", name, errPreset)
	}
}

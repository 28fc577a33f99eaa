// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package component says what a tenant's control plane is made of: pure
// functions from a Spec to the objects that should exist in the meta cluster,
// one file for each kind of object.
//
// Every object carries the labels of its tenant. The functions read nothing
// and write nothing; package reconciler applies what they return.
package component

import (
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	tenancyv1alpha1 "virtualcluster.io/virtualcluster/apis/tenancy/v1alpha1"
	"virtualcluster.io/virtualcluster/pkg/names"
)

// Spec is everything that the objects of one control plane depend on.
type Spec struct {
	// TenantID is the UID of the VirtualCluster.
	TenantID types.UID
	// VirtualCluster is the VirtualCluster's namespace and name.
	VirtualCluster types.NamespacedName
	// Version is the offered version that the control plane runs.
	Version tenancyv1alpha1.ClassVersion
	// RunningImage is the image of the version that every replica runs; empty
	// before the first is ready. See AnnotationRunningImage.
	RunningImage string
	// Hold keeps the StatefulSet's controller from replacing pods by itself: on
	// the way back from a version that does not work, vc-manager does, who knows
	// which to replace first.
	Hold bool
	// ControlPlane is the class's part about control planes.
	ControlPlane tenancyv1alpha1.ClassControlPlane
	// ServiceCIDR is the tenant's slice of the service range.
	ServiceCIDR string
	// PlatformNamespace is where vc-manager runs.
	PlatformNamespace string
	// Members is how many pods the StatefulSet has now. Zero means 1. It differs
	// from ControlPlane.Replicas while members are added or taken away.
	Members int32
	// Replicated says that the process runs as one of several: its database
	// listens on the network. It is so before the second member is added, and
	// until the last but one is taken away.
	Replicated bool
	// Membership is what the processes are told of the database's members.
	Membership Membership
	// ExternalClusterID is the identity of the cluster of an external control
	// plane: the UID of its namespace kube-system.
	ExternalClusterID string
}

// NamespaceName returns the name of the namespace of the control plane.
func (s Spec) NamespaceName() string {
	return names.Tenant{ID: string(s.TenantID), Name: s.VirtualCluster.Name}.ControlPlaneNamespace()
}

// Labels returns a fresh map of the labels of every object of this tenant.
func (s Spec) Labels() map[string]string {
	return map[string]string{
		tenancyv1alpha1.LabelTenantID:  string(s.TenantID),
		tenancyv1alpha1.LabelManagedBy: tenancyv1alpha1.ManagedByManager,
	}
}

// podLabel names what runs in a pod; Services and the StatefulSet select on it.
const podLabel = tenancyv1alpha1.LabelPrefix + "component"

func (s Spec) podLabels() map[string]string {
	labels := s.Labels()
	labels[podLabel] = tenancyv1alpha1.ControlPlaneServiceName
	return labels
}

// meta returns the metadata of an object in the control plane's namespace.
func (s Spec) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, Namespace: s.NamespaceName(), Labels: s.Labels(), Annotations: s.annotations(nil),
	}
}

// annotations adds to a copy of extra the name of the VirtualCluster, for people.
func (s Spec) annotations(extra map[string]string) map[string]string {
	out := maps.Clone(extra)
	if out == nil {
		out = map[string]string{}
	}
	out[tenancyv1alpha1.AnnotationVirtualCluster] = s.VirtualCluster.String()
	return out
}

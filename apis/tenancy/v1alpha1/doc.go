// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 is the platform's user-facing API: VirtualCluster, a whole
// Kubernetes cluster for one tenant, and VirtualClusterClass, the platform
// team's decisions that many virtual clusters share.
//
// It also holds every name through which vc-manager, syncer and vn-agent meet:
// they never import each other and agree only on the objects, conditions,
// Secrets, labels and annotations declared here.
//
// +kubebuilder:object:generate=true
// +groupName=tenancy.virtualcluster.io
package v1alpha1

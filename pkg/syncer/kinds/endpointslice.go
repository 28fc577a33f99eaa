// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

const (
	// apiServiceName is the Service of a tenant's own API server.
	apiServiceName = "kubernetes"
	// sliceManager tells the super cluster's controllers to leave a slice alone.
	sliceManager = "virtualcluster-syncer"
)

// endpointSlice leads default/kubernetes to the tenant's control plane, and
// nowhere else. Slices of Services with a selector are not synced: each side
// computes its own from the same labels and addresses.
func endpointSlice() kind.Downward[*discoveryv1.EndpointSlice] {
	return kind.Downward[*discoveryv1.EndpointSlice]{
		Object:    &discoveryv1.EndpointSlice{},
		UsesFacts: true,
		Select: func(tenant *discoveryv1.EndpointSlice) bool {
			return tenant.Namespace == metav1.NamespaceDefault && tenant.Labels[discoveryv1.LabelServiceName] == apiServiceName
		},
		Down: endpointSliceDown,
	}
}

func endpointSliceDown(_ context.Context, env kind.Env, tenant, super *discoveryv1.EndpointSlice) error {
	super.Labels = withLabel(super.Labels, discoveryv1.LabelServiceName, apiServiceName)
	super.Labels = withLabel(super.Labels, discoveryv1.LabelManagedBy, sliceManager)
	super.AddressType, super.Ports = tenant.AddressType, tenant.Ports
	super.Endpoints = nil
	for _, endpoint := range tenant.Endpoints {
		addresses := slices.DeleteFunc(slices.Clone(endpoint.Addresses), func(address string) bool {
			return !slices.Contains(env.Facts.ControlPlaneAddresses, address)
		})
		if len(addresses) > 0 {
			super.Endpoints = append(super.Endpoints, discoveryv1.Endpoint{Addresses: addresses, Conditions: endpoint.Conditions})
		}
	}
	return nil
}

func withLabel(labels map[string]string, key, value string) map[string]string {
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	return labels
}

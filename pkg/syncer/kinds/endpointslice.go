// Copyright The VirtualCluster Authors.
// SPDX-License-Identifier: Apache-2.0

package kinds

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"virtualcluster.io/virtualcluster/pkg/syncer/kind"
)

const (
	// apiServiceName is the Service of a tenant's own API server.
	apiServiceName = "kubernetes"
	// sliceManager tells the super cluster's controllers to leave a slice alone.
	sliceManager = "virtualcluster-syncer"
	// sliceController is what makes the slices of Services with a selector.
	sliceController = "endpointslice-controller.k8s.io"
)

// endpointSlice leads default/kubernetes to the tenant's control plane and
// nowhere else, and Services without a selector to pods of the tenant. Slices
// that a selector made are not synced: each side computes its own from the same
// labels and addresses.
func endpointSlice() kind.Downward[*discoveryv1.EndpointSlice] {
	return kind.Downward[*discoveryv1.EndpointSlice]{
		Object:    &discoveryv1.EndpointSlice{},
		UsesFacts: true,
		Select: func(tenant *discoveryv1.EndpointSlice) bool {
			return tenant.Labels[discoveryv1.LabelServiceName] != "" && tenant.Labels[discoveryv1.LabelManagedBy] != sliceController
		},
		// An address is nobody's when its pod goes, and another's soon.
		Triggers: []kind.Trigger{{From: &corev1.Pod{}, InSuper: true, Keys: slicesWithAddress}},
		Down:     endpointSliceDown,
	}
}

func endpointSliceDown(ctx context.Context, env kind.Env, tenant, super *discoveryv1.EndpointSlice) error {
	if tenant.AddressType == discoveryv1.AddressTypeFQDN {
		return kind.Reject("addressType", "names are not followed; use addresses of your pods, or a Service of type ExternalName")
	}
	mayLead := func(address string) (bool, error) { return isOwnPod(ctx, env, address) }
	if tenant.Namespace == metav1.NamespaceDefault && tenant.Labels[discoveryv1.LabelServiceName] == apiServiceName {
		mayLead = func(address string) (bool, error) {
			return slices.Contains(env.Facts.ControlPlaneAddresses, address), nil
		}
	}
	super.Labels = withLabel(super.Labels, discoveryv1.LabelServiceName, tenant.Labels[discoveryv1.LabelServiceName])
	super.Labels = withLabel(super.Labels, discoveryv1.LabelManagedBy, sliceManager)
	super.AddressType, super.Ports = tenant.AddressType, tenant.Ports
	super.Endpoints = nil
	for i, endpoint := range tenant.Endpoints {
		var addresses []string
		for _, address := range endpoint.Addresses {
			allowed, err := mayLead(address)
			if err != nil {
				return err
			}
			if allowed {
				addresses = append(addresses, address)
				continue
			}
			env.Warn(fmt.Sprintf("endpoints[%d].addresses", i), address+" is no running pod of this cluster; only those can be behind a Service")
		}
		if len(addresses) > 0 {
			super.Endpoints = append(super.Endpoints, discoveryv1.Endpoint{Addresses: addresses, Conditions: endpoint.Conditions, Hostname: endpoint.Hostname})
		}
	}
	return nil
}

// isOwnPod reports whether a running super pod of the tenant has the address. The
// super cluster says so: what a tenant writes on its own pods proves nothing.
func isOwnPod(ctx context.Context, env kind.Env, address string) (bool, error) {
	var superPods corev1.PodList
	if err := env.Super.List(ctx, &superPods, client.MatchingFields{kind.FieldPodIP: address}); err != nil {
		return false, fmt.Errorf("looking up whose address it is: %w", err)
	}
	return slices.ContainsFunc(superPods.Items, func(superPod corev1.Pod) bool {
		ended := superPod.Status.Phase == corev1.PodSucceeded || superPod.Status.Phase == corev1.PodFailed
		return !ended && !superPod.Spec.HostNetwork
	}), nil
}

// slicesWithAddress returns the slices that name an address of a super pod.
func slicesWithAddress(ctx context.Context, tenant client.Reader, from client.Object) []types.NamespacedName {
	superPod, ok := from.(*corev1.Pod)
	if !ok || len(superPod.Status.PodIPs) == 0 {
		return nil
	}
	written, err := labels.NewRequirement(discoveryv1.LabelManagedBy, selection.NotIn, []string{sliceController})
	if err != nil {
		return nil // the key is a constant
	}
	var list discoveryv1.EndpointSliceList
	options := []client.ListOption{client.MatchingLabelsSelector{Selector: labels.NewSelector().Add(*written)}, client.UnsafeDisableDeepCopy}
	if err := tenant.List(ctx, &list, options...); err != nil {
		return nil // a cache that is ending
	}
	var keys []types.NamespacedName
	for i := range list.Items {
		names := slices.ContainsFunc(list.Items[i].Endpoints, func(endpoint discoveryv1.Endpoint) bool {
			return slices.ContainsFunc(superPod.Status.PodIPs, func(ip corev1.PodIP) bool { return slices.Contains(endpoint.Addresses, ip.IP) })
		})
		if names {
			keys = append(keys, client.ObjectKeyFromObject(&list.Items[i]))
		}
	}
	return keys
}

func withLabel(labels map[string]string, key, value string) map[string]string {
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	return labels
}
